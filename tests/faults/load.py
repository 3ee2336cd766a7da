"""A publisher at QoS 1 that knows which of its messages a consumer owes an action.

Speaks MQTT 3.1.1 itself: cheap enough for many at once, and it does not rest on the library under test.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import secrets
import struct
from typing import TYPE_CHECKING, NamedTuple, Self

from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterable

PERIOD_SECONDS = 0.02
_MOST_PENDING = 2_000
_MOST_AHEAD = 100
_SLOW = 10


class Sent(NamedTuple):
    """What tells one message from all others."""

    topic: str
    payload: str


class Load:
    """Publishes numbered messages on each of `topics`, one per topic and period. Use as a context manager.

    Where its consumer is far behind, be it away or on a slow machine, only each tenth: a backlog that grows
    for ever would make every step of a test take for ever.

    A message is owed when its topic was `expected` as it was sent, and the broker has acknowledged it.
    After a lost connection everything without an acknowledgement is sent once more, as `resent`: the broker
    may then have it twice, which is not the consumer's doing.
    """

    def __init__(self, port: int, topics: Iterable[str], tag: str = "m") -> None:
        self.topics = list(topics)
        self.expected: frozenset[str] = frozenset()
        self.owed = dict[Sent, float]()
        """With the time of the acknowledgement, on the loop's clock."""
        self.sent_at = dict[Sent, float]()
        """When each was published first, on the same clock."""
        self.rests = False
        """Publishes nothing by itself."""
        self.acknowledged_at = dict[Sent, float]()
        self.resent = set[Sent]()
        self._port, self._tag = port, tag
        self._number = self._newest_come = self._packet_id = 0
        self._pending: dict[int, tuple[Sent, bool]] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._stay_connected()), asyncio.create_task(self._tick())]
        await eventually(lambda: self._writer)
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._writer:
            self._writer.close()

    async def stop(self) -> None:
        """Publish no more, and wait until the broker has all that was sent."""
        self.topics = []
        await self.flushed(timeout=30)

    async def flushed(self, timeout: float = 10) -> None:
        """Wait until the broker has acknowledged all that is sent by now."""
        waiting = {sent for sent, _ in self._pending.values()}
        await eventually(
            lambda: waiting.isdisjoint(sent for sent, _ in self._pending.values()), timeout=timeout
        )

    def came(self, payload: str) -> None:
        """A consumer has got a message with this payload."""
        if payload.startswith(self._tag):
            self._newest_come = max(self._newest_come, int(payload.removeprefix(self._tag)))

    def expect(self, topics: Iterable[str]) -> None:
        """From now on messages on these topics are owed, others are not: neither those still on their way."""
        self.expected = frozenset(topics)
        for packet_id, (sent, owed) in list(self._pending.items()):
            self._pending[packet_id] = (sent, owed and sent.topic in self.expected)

    def forgive(self, seconds: float) -> None:
        """What was acknowledged just now is not owed: a broker that is killed had no time to write it."""
        since = asyncio.get_running_loop().time() - seconds
        self.owed = {sent: at for sent, at in self.owed.items() if at < since}

    def burst(self, count: int) -> set[Sent]:
        """Publish so many on each topic at once; the last ones."""
        for _ in range(count):
            self._publish_all()
        return {Sent(topic, self._payload) for topic in self.topics}

    @property
    def _payload(self) -> str:
        return f"{self._tag}{self._number}"

    async def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        for period in itertools.count():
            due = max(due + PERIOD_SECONDS, loop.time() - 0.5)
            await asyncio.sleep(due - loop.time())
            if not self._writer or self.rests or len(self._pending) >= _MOST_PENDING:
                continue
            if self._number <= self._newest_come + _MOST_AHEAD or period % _SLOW == 0:
                self._publish_all()

    def _publish_all(self) -> None:
        self._number += 1
        for topic in self.topics:
            self._publish(Sent(topic, self._payload), owed=topic in self.expected)

    def _publish(self, sent: Sent, *, owed: bool) -> None:
        self.sent_at.setdefault(sent, asyncio.get_running_loop().time())
        self._packet_id = self._packet_id % 65_535 + 1
        self._pending[self._packet_id] = (sent, owed)
        if self._writer:
            self._writer.write(_publish_packet(sent, self._packet_id))

    async def _stay_connected(self) -> None:
        while True:
            with contextlib.suppress(OSError, EOFError):
                await self._connect()
            self._writer = None
            await asyncio.sleep(0.05)

    async def _connect(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            writer.write(_connect_packet(f"load-{secrets.token_hex(8)}"))
            assert await reader.readexactly(4) == b"\x20\x02\x00\x00"
            self._writer = writer
            self._send_again()
            while True:
                # Nothing but PUBACK comes: type, length, packet id (MQTT 3.1.1, 3.4).
                packet = await reader.readexactly(4)
                assert packet[0] == 0x40
                self._acknowledged(int.from_bytes(packet[2:]))
        finally:
            writer.transport.abort()

    def _send_again(self) -> None:
        pending, self._pending = self._pending, {}
        for sent, owed in pending.values():
            self.resent.add(sent)
            self._publish(sent, owed=owed)

    def _acknowledged(self, packet_id: int) -> None:
        sent, owed = self._pending.pop(packet_id)
        self.acknowledged_at[sent] = asyncio.get_running_loop().time()
        if owed:
            self.owed[sent] = self.acknowledged_at[sent]


def _field(text: str) -> bytes:
    data = text.encode()
    return struct.pack(">H", len(data)) + data


def _packet(kind: int, body: bytes) -> bytes:
    assert len(body) < 128
    return bytes([kind, len(body)]) + body


def _connect_packet(client_id: str) -> bytes:
    return _packet(0x10, _field("MQTT") + b"\x04\x02\x00\x00" + _field(client_id))


def _publish_packet(sent: Sent, packet_id: int) -> bytes:
    return _packet(0x32, _field(sent.topic) + struct.pack(">H", packet_id) + sent.payload.encode())
