"""A publisher that is never the limit: packets made beforehand, sent straight from a socket.

It stays a fixed number of messages ahead of the consumer, whose count it reads from a `Board`. So the broker
always has something to deliver, never a queue that grows, and nothing of QoS 0 is dropped.
"""

from __future__ import annotations

import json
import mmap
import select
import socket
import struct
import sys
import time
from pathlib import Path
from typing import Any

__all__ = ["SAMPLES", "Board"]

SAMPLES = 65_536
_AHEAD = 2_000
_PIECE = 50
_PACKET_IDS = 65_500
_WARM_UP_SECONDS = 0.3


class Board:
    """What a consumer counts and measures, in a file that both sides map: no system call per message."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(bytes(8 + 8 * SAMPLES))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)
        view = memoryview(self._map)
        self.count = view[:8].cast("Q")
        """One number: messages whose work has started."""
        self.seconds = view[8:].cast("d")
        """From publishing to the start of the work, as a ring; used where messages carry a time."""


def _field(data: bytes) -> bytes:
    return struct.pack(">H", len(data)) + data


def _packet(kind: int, body: bytes) -> bytes:
    length, left = b"", len(body)
    while True:
        left, byte = left >> 7, left & 127
        length += bytes([byte | 128 if left else byte])
        if not left:
            return bytes([kind]) + length + body


def _publish(topic: str, qos: int, packet_id: int, payload: bytes) -> bytes:
    # MQTT 3.1.1, 3.3
    identifier = struct.pack(">H", packet_id) if qos else b""
    return _packet(0x30 | qos << 1, _field(topic.encode()) + identifier + payload)


def connect(port: int) -> socket.socket:
    """A clean session on the loopback broker."""
    sock = socket.create_connection(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # MQTT 3.1.1, 3.1
    sock.sendall(_packet(0x10, _field(b"MQTT") + b"\x04\x02\x00\x00" + _field(b"flood")))
    assert sock.recv(4) == b"\x20\x02\x00\x00"
    return sock


class _Acknowledged:
    """Counts PUBACKs: four bytes each."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._bytes = 0

    def count(self) -> int:
        while select.select([self._sock], [], [], 0)[0]:
            data = self._sock.recv(65_536)
            if not data:
                raise EOFError("the broker closed the publisher's connection")
            self._bytes += len(data)
        return self._bytes // 4


def flood(
    sock: socket.socket, board: Board, topics: list[str], qos: int, size: int, seconds: float
) -> dict[str, float]:
    """Publish as fast as the consumer takes it.

    Returns:
        rate: messages a second that the consumer took; waited: share of the turns in which the publisher
        waited for the consumer (near 1: the consumer is the limit; near 0: this publisher or the broker).
    """
    payload = b"x" * size
    pieces = [
        b"".join(
            _publish(topics[(start + at) % len(topics)], qos, start + at + 1, payload) for at in range(_PIECE)
        )
        for start in range(0, _PACKET_IDS, _PIECE)
    ]
    acknowledged = _Acknowledged(sock)
    base, sent, turns, waits = board.count[0], 0, 0, 0
    start = time.perf_counter()
    from_count, from_time = 0, 0.0
    while (now := time.perf_counter()) < start + seconds:
        if not from_time and now > start + _WARM_UP_SECONDS:
            from_count, from_time = board.count[0], now
        turns += 1
        behind = qos and sent - acknowledged.count() > _AHEAD
        if behind or sent - (board.count[0] - base) > _AHEAD:
            waits += not behind
            time.sleep(0.0005)
            continue
        sock.sendall(pieces[sent // _PIECE % len(pieces)])
        sent += _PIECE
    rate = (board.count[0] - from_count) / (time.perf_counter() - from_time)
    _settle(board, base + sent)
    return {"rate": rate, "waited": waits / turns, "sent": sent, "taken": board.count[0] - base}


def _settle(board: Board, until: int) -> None:
    """Wait for what is still on its way, as long as something comes."""
    last = -1
    while board.count[0] < until and board.count[0] != last:
        last = board.count[0]
        time.sleep(0.3)


def tick(
    sock: socket.socket, board: Board, topics: list[str], qos: int, rate: float, seconds: float
) -> dict[str, float]:
    """Publish at a steady rate; each message carries the time of its making (CLOCK_MONOTONIC)."""
    acknowledged = _Acknowledged(sock)
    base = board.count[0]
    start = time.monotonic()
    number = 0
    while (due := start + number / rate) < start + seconds:
        time.sleep(max(0.0, due - time.monotonic()))
        made = str(time.monotonic_ns()).encode()
        sock.sendall(_publish(topics[number % len(topics)], qos, number % _PACKET_IDS + 1, made))
        number += 1
        acknowledged.count()
    _settle(board, base + number)
    return {"sent": number, "taken": board.count[0] - base}


def main() -> None:
    """One JSON argument; prints the result as JSON."""
    given: dict[str, Any] = json.loads(sys.argv[1])
    sock = connect(given["port"])
    board, topics = Board(Path(given["board"])), given["topics"]
    if given["rate"]:
        result = tick(sock, board, topics, given["qos"], given["rate"], given["seconds"])
    else:
        result = flood(sock, board, topics, given["qos"], given["size"], given["seconds"])
    sock.close()
    print(json.dumps(result))


if __name__ == "__main__":
    main()
