"""A broker that says exactly what a test wants: MQTT bytes over a real socket."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Literal, Self

if TYPE_CHECKING:
    from collections.abc import Sequence

ACCEPTED = b"\x20\x02\x00\x00"
Ending = Literal["hold", "close", "reset", "stay"]


def connack(code: int) -> bytes:
    """MQTT 3.1.1, 3.2."""
    return bytes((0x20, 2, 0, code))


class ScriptedBroker:
    """Answers the first piece of data with the first of `answers`, and so on; then ends as told.

    It holds the connection until the client leaves, closes it, resets it, or stays: reads once more, ignores
    the client's end of the stream and goes on sending.

    Without answers it does so as soon as it has read something. `unasked` is sent before anything is read.
    """

    def __init__(self, *answers: bytes, then: Ending = "hold", unasked: bytes = b"") -> None:
        self.host = "127.0.0.1"
        self.port = 0
        self.left = asyncio.Event()
        """The client has closed its connection."""
        self.connected = asyncio.Event()
        self.received: list[bytes] = []
        self._answers: Sequence[bytes] = answers
        self._then: Ending = then
        self._unasked = unasked
        self._server: asyncio.Server | None = None
        self._tasks = set[asyncio.Task[None]]()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, self.host, 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(asyncio.create_task(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connected.set()
        try:
            writer.write(self._unasked)
            for answer in self._answers or (b"",):
                if not await self._read(reader):
                    return
                writer.write(answer)
            await self._end(reader, writer)
        finally:
            writer.transport.abort()

    async def _read(self, reader: asyncio.StreamReader) -> bytes:
        data = b""
        with contextlib.suppress(ConnectionError):
            data = await reader.read(65_536)
        self.received.append(data)
        if not data:
            self.left.set()
        return data

    async def _end(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._then == "close":
            writer.close()
        elif self._then == "hold":
            while await self._read(reader):
                pass
        elif self._then == "stay":
            await self._stay(reader, writer)

    async def _stay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._read(reader)
        try:
            while True:
                writer.write(b"\x00")
                await writer.drain()
                await asyncio.sleep(0.01)
        except ConnectionError:
            self.left.set()
