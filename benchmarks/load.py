"""A small HTTP/1.1 load generator: keep-alive connections, one request in flight on each."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["request_bytes", "requests_per_second"]


def request_bytes(method: str, path: str, token: str = "", body: bytes = b"") -> bytes:
    """One request, ready to send."""
    head = f"{method} {path} HTTP/1.1\r\nHost: bench.example.com\r\n"
    if token:
        head += f"Authorization: Bearer {token}\r\n"
    if body:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


class _Connection(asyncio.Protocol):
    """Sends a request, reads its answer by Content-Length, sends the next until told to stop."""

    def __init__(self, make: Callable[[], bytes], until: float, done: asyncio.Future[None]) -> None:
        self._make, self._until, self._done = make, until, done
        self._buffer = bytearray()
        self._expected = 0
        self.answered = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._make())

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._expected and not self._read_head():
            return
        if len(self._buffer) >= self._expected:
            self._buffer.clear()
            self._expected = 0
            self._next()

    def _read_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        head = bytes(self._buffer[:end]).lower()
        if not head.startswith(b"http/1.1 2"):
            self._fail(RuntimeError(bytes(self._buffer[:400]).decode(errors="replace")))
            return False
        length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
        self._expected = end + 4 + length
        return True

    def _next(self) -> None:
        self.answered += 1
        if time.perf_counter() < self._until:
            self._transport.write(self._make())
        else:
            self._finish()

    def _finish(self) -> None:
        self._transport.close()
        if not self._done.done():
            self._done.set_result(None)

    def _fail(self, error: Exception) -> None:
        self._transport.close()
        if not self._done.done():
            self._done.set_exception(error)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._done.done():
            self._done.set_exception(exc or ConnectionError("the server closed the connection"))


async def requests_per_second(
    port: int, make: Callable[[], bytes], *, connections: int = 16, seconds: float = 2.0
) -> float:
    """Answers a second over `seconds`, each answer's status being 2xx.

    Raises:
        RuntimeError: an answer was not 2xx; the text is the answer's beginning.
    """
    loop = asyncio.get_running_loop()
    start = time.perf_counter()
    protocols: list[_Connection] = []
    waits: list[asyncio.Future[None]] = []
    for _ in range(connections):
        done: asyncio.Future[None] = loop.create_future()
        _, protocol = await loop.create_connection(
            lambda done=done: _Connection(make, start + seconds, done), "127.0.0.1", port
        )
        protocols.append(protocol)
        waits.append(done)
    await asyncio.gather(*waits)
    return sum(protocol.answered for protocol in protocols) / (time.perf_counter() - start)
