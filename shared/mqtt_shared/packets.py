"""What a broker sends, cut into packets; PUBLISH decoded. Pure: no I/O, no library.

paho reads a packet in three calls and makes a dozen objects of it. Here a chunk from the socket is walked
through once. Everything but PUBLISH is handed on whole, for paho.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["AT_LEAST_ONCE", "EXACTLY_ONCE", "MalformedPacketError", "Message", "Stream", "puback"]

AT_LEAST_ONCE, EXACTLY_ONCE = 1, 2
_PUBLISH = 3
_PUBACK = 0x40
_MOST_LENGTH_BYTES = 4


class MalformedPacketError(ValueError):
    """The bytes break the rules of MQTT."""


class Message(Struct, gc=False):
    """One PUBLISH from the broker. `mid` is its packet id, 0 for QoS 0."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    duplicate: bool
    mid: int
    received_at: datetime


def puback(mid: int) -> bytes:
    """PUBACK with success (MQTT 3.1.1 and 5, 3.4: the reason code 0 may be left out)."""
    return bytes((_PUBACK, 2, mid >> 8, mid & 0xFF))


class Stream:
    """The bytes that have come and are not yet worked on.

    `paused` stops `take` between two packets; what is left stays for the next call.
    """

    def __init__(self, *, version_5: bool) -> None:
        self._version_5 = version_5
        self._buffer = b""
        self._position = 0
        self._pieces: list[bytes] = []
        self.missing = 0
        """How many bytes the packet lacks that has begun to come, as far as is known."""
        self.paused = False

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        self._pieces.append(data)
        if len(data) < self.missing:
            # Joined once, when the whole packet is here.
            self.missing -= len(data)
            return
        self._buffer = b"".join((self._buffer[self._position :], *self._pieces))
        self._pieces.clear()
        self._position = self.missing = 0

    def take(  # noqa: C901 - the hot path: a call a message less
        self,
        on_message: Callable[[Message], None],
        on_packet: Callable[[int, bytes], None],
        received_at: datetime,
    ) -> None:
        """Hand over every packet that is whole: a PUBLISH decoded, others as first byte and whole packet.

        Raises:
            MalformedPacketError: the stream is of no use from here on.
        """
        if self.missing:
            return
        # The hot path: once a message. Hence no function calls that can be helped.
        buffer, start, end = self._buffer, self._position, len(self._buffer)
        version_5 = self._version_5
        while not self.paused and end - start >= 2:
            first, length = buffer[start], buffer[start + 1]
            body = start + 2
            if length > 127:
                length, body = _length(buffer, start + 1)
                if body < 0:
                    break
            stop = body + length
            if stop > end:
                self.missing = stop - end
                break
            self._position = stop
            if first >> 4 != _PUBLISH:
                on_packet(first, buffer[start:stop])
                start = stop
                continue
            qos = first >> 1 & 3
            topic_at = body + 2
            at = topic_at + (buffer[body] << 8 | buffer[body + 1]) if length > 1 else stop + 1
            mid = 0
            topic_to = at
            if qos:
                at += 2
                if at <= stop:
                    mid = buffer[at - 2] << 8 | buffer[at - 1]
            if version_5 and at <= stop:
                size, at = _length(buffer, at)
                at += size
            if at > stop or qos > EXACTLY_ONCE or (qos and not mid) or at < topic_to:
                raise MalformedPacketError("PUBLISH")
            try:
                topic = buffer[topic_at:topic_to].decode()
            except UnicodeDecodeError:
                raise MalformedPacketError("PUBLISH with a topic that is not UTF-8") from None
            on_message(Message(topic, buffer[at:stop], qos, first & 1 == 1, first & 8 == 8, mid, received_at))
            start = stop
        if self._position >= end:
            self._buffer, self._position = b"", 0


def _length(buffer: bytes, at: int) -> tuple[int, int]:
    """A variable byte integer at `at` (MQTT 5, 1.5.5), and where it ends; below 0: it has not come whole.

    Raises:
        MalformedPacketError: longer than four bytes.
    """
    value = 0
    for count in range(_MOST_LENGTH_BYTES):
        if at + count >= len(buffer):
            return 0, -1
        byte = buffer[at + count]
        value |= (byte & 127) << 7 * count
        if byte < 128:
            return value, at + count + 1
    raise MalformedPacketError("remaining length")
