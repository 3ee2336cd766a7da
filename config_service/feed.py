"""Server-sent events: what browsers are told, kept for a while so that a stream that broke can go on.

Ids are of one process: at another replica, or after a restart, a stream begins with `reset`.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from .problem import BusyError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

__all__ = ["Feed", "Stream"]

_EVENTS = 2000
_BYTES = 8 * 1024 * 1024
_STREAMS = 1000
_STREAM_EVENTS = 500
_STREAM_BYTES = 4 * 1024 * 1024
_IDLE_SECONDS = 60.0
_ID = re.compile(r"([0-9a-f]{8})-([0-9]{1,15})", re.ASCII)

_encode = msgspec.json.Encoder().encode


class _Event(Struct, frozen=True):
    number: int
    product_id: int | None
    """Null: for everybody."""
    frame: bytes


class Stream:
    """What one client is still to be sent. A client that is too slow is dropped: `drop` is called once."""

    def __init__(self, products: frozenset[int] | None, drop: Callable[[], None]) -> None:
        self._products = products
        self._drop = drop
        self._frames = list[bytes]()
        self._bytes = 0
        self._ready = asyncio.Event()
        self.ended = False

    def push(self, events: Iterable[_Event]) -> bool:
        """Add what is the client's. False when that is too much and the client has been dropped."""
        for event in events:
            everybody = event.product_id is None or self._products is None
            if everybody or event.product_id in self._products:  # pyright: ignore[reportOperatorIssue] - a set here
                self._frames.append(event.frame)
                self._bytes += len(event.frame)
        if len(self._frames) > _STREAM_EVENTS or self._bytes > _STREAM_BYTES:
            self.end()
            self._drop()
            return False
        if self._frames:
            self._ready.set()
        return True

    def end(self) -> None:
        """Nothing more comes."""
        self.ended = True
        self._frames.clear()
        self._ready.set()

    async def take(self, seconds: float) -> bytes:
        """What has come, waiting for it; empty when nothing has, or the stream has ended."""
        try:
            async with asyncio.timeout(seconds):
                await self._ready.wait()
        except TimeoutError:
            return b""
        return self.drain()

    def drain(self) -> bytes:
        """What has come, without waiting."""
        drained = b"".join(self._frames)
        self._frames.clear()
        self._bytes = 0
        if not self.ended:
            self._ready.clear()
        return drained


class Feed:
    """The last events, and the streams that are open."""

    def __init__(self, on_drop: Callable[[], None] = lambda: None) -> None:
        self._on_drop = on_drop
        self._epoch = secrets.token_hex(4)
        self._number = 0
        self._ring = deque[_Event]()
        self._bytes = 0
        # Every event with a higher number is in the ring.
        self._floor = 0
        self._streams = set[Stream]()
        self._left_at = float("-inf")
        self._closed = False

    @property
    def open(self) -> int:
        """How many streams are open."""
        return len(self._streams)

    @property
    def is_watched(self) -> bool:
        """Is somebody there, or was a moment ago and may come back?"""
        return bool(self._streams) or asyncio.get_running_loop().time() - self._left_at < _IDLE_SECONDS

    @property
    def last_id(self) -> str:
        """Of the newest event."""
        return f"{self._epoch}-{self._number}"

    def publish(self, name: str, product_id: int, data: bytes) -> None:
        """Tell all who may hear of the product. `data` is JSON on one line."""
        if not self.is_watched:
            return
        event = self._event(name, product_id, data)
        self._ring.append(event)
        self._bytes += len(event.frame)
        while len(self._ring) > _EVENTS or self._bytes > _BYTES:
            oldest = self._ring.popleft()
            self._bytes -= len(oldest.frame)
            self._floor = oldest.number
        self._tell([event])

    def reset(self) -> None:
        """Events may have been missed: all clients read everything anew."""
        self._forget()
        self._tell([self._event("reset", None, b"{}")])

    def _forget(self) -> None:
        """No stream can go on from what was before."""
        self._ring.clear()
        self._bytes = 0
        self._number += 1
        self._floor = self._number

    def _event(self, name: str, product_id: int | None, data: bytes) -> _Event:
        self._number += 1
        return _Event(self._number, product_id, self._frame(name, data))

    def _frame(self, name: str, data: bytes) -> bytes:
        return b"id: %s\nevent: %s\ndata: %s\n\n" % (self.last_id.encode(), name.encode(), data)

    def _tell(self, events: list[_Event]) -> None:
        for stream in list(self._streams):
            if not stream.push(events):
                self._on_drop()

    def ping(self, value: Struct) -> bytes:
        """A frame that tells that the stream is alive, and how far it is."""
        return b": heartbeat\n" + self._frame("ping", _encode(value))

    @contextmanager
    def stream(
        self, products: frozenset[int] | None, last_id: str | None, drop: Callable[[], None]
    ) -> Generator[Stream]:
        """A stream of the events of some products (null: all), going on after `last_id` where it can.

        Raises:
            BusyError: too many are open.
        """
        if len(self._streams) >= _STREAMS:
            raise BusyError(f"{_STREAMS} event streams are open: try again later")
        if not self.is_watched:
            # What has happened since the last client left was not kept.
            self._forget()
        stream = Stream(products, drop)
        if self._closed:
            stream.end()
        elif last_id is not None:
            stream.push(self._since(last_id))
        self._streams.add(stream)
        try:
            yield stream
        finally:
            self._streams.discard(stream)
            self._left_at = asyncio.get_running_loop().time()

    def _since(self, last_id: str) -> list[_Event]:
        found = _ID.fullmatch(last_id)
        number = int(found[2]) if found and found[1] == self._epoch else -1
        if not self._floor <= number <= self._number:
            return [_Event(self._number, None, self._frame("reset", b"{}"))]
        return [event for event in self._ring if event.number > number]

    def close(self) -> None:
        """End all streams, so that the process can stop."""
        self._closed = True
        for stream in self._streams:
            stream.end()
