"""A TCP proxy between a client and a server, for breaking connections on purpose."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Coroutine

_NO_LINGER = struct.pack("ii", 1, 0)


class TcpProxy:
    """Forwards `127.0.0.1:port` to a server until told otherwise. Use as an async context manager.

    `delay` (seconds) holds back each piece of data, in both directions. With `keeps_open` one side does not
    see that the other has closed.
    """

    def __init__(self, host: str, port: int) -> None:
        self.host = "127.0.0.1"
        self.port = 0
        self.delay = 0.0
        self.keeps_open = False
        self.accepted = 0
        self._target = (host, port)
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    def before(cls, url: str) -> Self:
        """A proxy to the server of `url`."""
        server = urlsplit(url)
        assert server.hostname
        assert server.port
        return cls(server.hostname, server.port)

    def through(self, url: str) -> str:
        """`url` with the address of the proxy instead of the server's."""
        server = urlsplit(url)
        login, at, _ = server.netloc.rpartition("@")
        return server._replace(netloc=f"{login}{at}{self.host}:{self.port}").geturl()

    async def __aenter__(self) -> Self:
        await self.accept()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.refuse()
        self.cut()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def accept(self) -> None:
        """Take connections (again, on the same port, after `refuse`)."""
        if self._server is None:
            self._server = await asyncio.start_server(self._connected, self.host, self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    def refuse(self) -> None:
        """Refuse new connections; the open ones go on."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def cut(self) -> None:
        """Reset every open connection."""
        for writer in list(self._writers):
            # Without lingering a close sends RST, not FIN.
            with contextlib.suppress(OSError):  # closed this moment
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            writer.transport.abort()

    def stall(self) -> None:
        """Keep connections open and let nothing through; new ones are taken and get no answer."""
        self._flowing.clear()

    def resume(self) -> None:
        """Let everything that was held back go on."""
        self._flowing.set()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        self._writers.add(writer)
        self._spawn(self._serve(reader, writer))

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work, name="TcpProxy")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._flowing.wait()
            far_reader, far_writer = await asyncio.open_connection(*self._target)
        except OSError:
            self._drop(writer)
            return
        self._writers.add(far_writer)
        try:
            await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))
        finally:
            self._drop(writer)
            self._drop(far_writer)

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65_536):
                await asyncio.sleep(self.delay)
                await self._flowing.wait()
                target.write(data)
                await target.drain()
        if self.keeps_open:
            return
        with contextlib.suppress(OSError):
            target.close()

    def _drop(self, writer: asyncio.StreamWriter) -> None:
        self._writers.discard(writer)
        writer.transport.abort()
