"""A connected socket to a broker: name resolution, TCP and TLS in the event loop.

Everything can be cancelled at any point and then leaves no socket open.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import ssl
from typing import TYPE_CHECKING

from .refusals import NotMqttError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .refusals import Attempt

__all__ = ["Link", "dial", "resolve"]

_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)
_CHUNK_BYTES = 65_536
# MQTT 3.1.1, 3.2.1: type and length, then flags and return code.
_CONNACK = b"\x20\x02"
_CONNACK_BYTES = 4
# A dead host is noticed after about this many seconds, also while no MQTT packet is due.
_IDLE_SECONDS, _PROBE_SECONDS, _PROBES = 15, 5, 3


class Link:
    """A connected, non-blocking socket, in the shape that paho wants.

    Reads a chunk at a time and hands it out in the small pieces that paho asks for. Keeps what paho forgets:
    the first bytes of the answer to CONNECT, and the error that ended the connection.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._buffer = b""
        self._position = 0
        self._pending = sock.pending if isinstance(sock, ssl.SSLSocket) else int
        self.head = b""
        """The first four bytes received: the CONNACK."""
        self.error: Exception | None = None
        self.lingers = False
        """`close` ends our side only; `drain` then waits for the broker's."""

    def recv(self, size: int) -> bytes:
        """At most `size` bytes; `b""` at the end of the stream.

        Raises:
            BlockingIOError: nothing to read now.
            OSError: the connection is broken, or no MQTT broker answers.
        """
        # The hot path: three times a packet.
        start = self._position
        if start >= len(self._buffer):
            self._buffer, start = self._fill(), 0
        end = self._position = start + size
        return self._buffer[start:end]

    def _fill(self) -> bytes:
        try:
            data = self._sock.recv(_CHUNK_BYTES)
            if _QUICKACK is not None and len(data) < _CHUNK_BYTES:
                # A broker with Nagle's algorithm on holds its next packet until this one is acknowledged,
                # and the system delays that by 40 ms unless told otherwise each time (Linux, tcp(7)).
                self._sock.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
            if len(self.head) < _CONNACK_BYTES:
                self._check_head(data)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
            raise BlockingIOError from None
        except OSError as error:
            self.error = error
            raise
        if not data:
            self.error = EOFError("the broker closed the connection")
        return data

    def _check_head(self, data: bytes) -> None:
        self.head += data[: _CONNACK_BYTES - len(self.head)]
        # paho would wait for as many bytes as the second one happens to say.
        if not _is_connack(self.head):
            raise NotMqttError(self.head)

    @property
    def return_code(self) -> int | None:
        """The CONNACK's, once it is here."""
        return self.head[3] if len(self.head) == _CONNACK_BYTES and _is_connack(self.head) else None

    @property
    def has_more(self) -> bool:
        """Are there bytes that the event loop does not know of?"""
        if self._position < len(self._buffer):
            return True
        return self._pending() > 0

    def send(self, data: bytes) -> int:
        """How many bytes were taken.

        Raises:
            BlockingIOError: none now.
            OSError: the connection is broken.
        """
        try:
            return self._sock.send(data)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
            raise BlockingIOError from None
        except OSError as error:
            # A peer that closed on us may have said why: a TLS alert, or a CONNACK.
            with contextlib.suppress(OSError):
                self._fill()
            self.error = self.error or error
            raise

    def fileno(self) -> int:
        """The file descriptor; -1 when closed."""
        return self._sock.fileno()

    def setblocking(self, flag: bool) -> None:
        """Called by paho; the socket never blocks."""
        assert not flag

    def close(self) -> None:
        """Close the socket; when it lingers, end only our side of the stream."""
        if self.lingers:
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_WR)
        else:
            self.abort()

    def abort(self) -> None:
        """Close the socket at once."""
        self._sock.close()

    async def drain(self) -> None:
        """Wait for the end of the broker's side.

        A socket closed with bytes unread sends RST, and that takes our last acknowledgements with it.
        """
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError):
            while self._sock.fileno() >= 0:
                await _ready(self._sock, loop.add_reader, loop.remove_reader)
                if not self._sock.recv(_CHUNK_BYTES):
                    return

    @property
    def info(self) -> dict[str, str]:
        """`address` of the peer, and `tls_version`."""
        about = dict[str, str]()
        with contextlib.suppress(OSError):
            about["address"] = str(self._sock.getpeername()[0])
        if isinstance(self._sock, ssl.SSLSocket):
            about["tls_version"] = self._sock.version() or ""
        return about


def _is_connack(head: bytes) -> bool:
    return _CONNACK.startswith(head[:2])


async def resolve(host: str, port: int) -> list[str]:
    """The IP addresses of `host`, best first, each once.

    Raises:
        socket.gaierror: no such name, or no answer.
        UnicodeError: not a host name.
    """
    with contextlib.suppress(ValueError):
        return [str(ipaddress.ip_address(host))]
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


async def dial(
    attempt: Attempt,
    *,
    verify_cert: bool = True,
    addresses: Sequence[str] | None = None,
    timeout_seconds: float = 10,
) -> Link:
    """Connect, and do the TLS handshake when `attempt.use_tls`; keeps `attempt.stage` up to date.

    With `addresses` the host is not resolved again; the certificate must be for the host all the same.

    Raises:
        OSError, UnicodeError, TimeoutError: as it failed; `refusals.explain` puts it in words.
    """
    async with asyncio.timeout(timeout_seconds):
        attempt.stage = "resolve"
        targets = await resolve(attempt.host, attempt.port) if addresses is None else addresses
        attempt.stage = "connect"
        sock = await _connect_first(targets, attempt.port, timeout_seconds)
        try:
            if attempt.use_tls:
                attempt.stage = "tls"
                sock = await _start_tls(sock, attempt.host, verify_cert=verify_cert)
        except BaseException:
            sock.close()
            raise
        attempt.stage = "connack"
        return Link(sock)


async def _connect_first(addresses: Sequence[str], port: int, timeout_seconds: float) -> socket.socket:
    # An address that swallows packets must leave time for the next one.
    deadline = asyncio.get_running_loop().time() + timeout_seconds
    error: OSError = OSError("no address")
    for tried, address in enumerate(addresses):
        left = deadline - asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(left / (len(addresses) - tried)):
                return await _connect(address, port)
        except OSError as failed:
            error = failed
    raise error


async def _connect(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        _tune(sock)
        await asyncio.get_running_loop().sock_connect(sock, (address, port))
    except BaseException:
        sock.close()
        raise
    return sock


def _tune(sock: socket.socket) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    wanted = {"TCP_KEEPIDLE": _IDLE_SECONDS, "TCP_KEEPINTVL": _PROBE_SECONDS, "TCP_KEEPCNT": _PROBES}
    for name, value in wanted.items():
        # Not every system has every option.
        if option := getattr(socket, name, None):
            sock.setsockopt(socket.IPPROTO_TCP, option, value)


async def _start_tls(sock: socket.socket, host: str, *, verify_cert: bool) -> ssl.SSLSocket:
    # Reading the certificates of the system takes tens of milliseconds.
    context = await asyncio.to_thread(_context, verify_cert=verify_cert)
    secure = context.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
    try:
        await _handshake(secure)
    except BaseException:
        secure.close()
        raise
    return secure


def _context(*, verify_cert: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if not verify_cert:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


async def _handshake(secure: ssl.SSLSocket) -> None:
    loop = asyncio.get_running_loop()
    while True:
        try:
            return secure.do_handshake()
        except ssl.SSLWantReadError:
            await _ready(secure, loop.add_reader, loop.remove_reader)
        except ssl.SSLWantWriteError:
            await _ready(secure, loop.add_writer, loop.remove_writer)


async def _ready(sock: socket.socket, add: Callable[..., None], remove: Callable[[int], bool]) -> None:
    waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    descriptor = sock.fileno()
    add(descriptor, lambda: waiting.done() or waiting.set_result(None))
    try:
        await waiting
    finally:
        remove(descriptor)
