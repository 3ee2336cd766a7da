"""A connected socket to a broker: name resolution, TCP, TLS and WebSocket in the event loop.

Everything can be cancelled at any point and then leaves no socket open.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import ssl
from typing import TYPE_CHECKING
from urllib.parse import quote

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.typing import Subprotocol
from websockets.uri import WebSocketURI

from .refusals import WebSocketError
from .tls import Tls, context

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .refusals import Attempt

__all__ = ["Link", "dial", "resolve"]

_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)
# Some hundred small messages: after so many, other tasks of the loop get their turn.
_CHUNK_BYTES = 16_384
_MOST_WAITING_BYTES = 262_144
# A dead host is noticed after about this many seconds, also while no MQTT packet is due.
_IDLE_SECONDS, _PROBE_SECONDS, _PROBES = 15, 5, 3
# What may stand in the path of a URL as it is (RFC 3986, 3.3), and what is quoted already.
_PATH = "/%?=&:@!$'()*+,;~-._"


class Link:
    """A connected, non-blocking socket, in the shape that paho wants.

    What is written waits until `flush`, so that all that a turn of the loop writes goes out together. paho
    reads only what it is handed.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._out = bytearray()
        self._handed = b""
        self._position = 0
        self._secure = sock if isinstance(sock, ssl.SSLSocket) else None
        self._error: OSError | EOFError | None = None
        self.lingers = False
        """`close` ends our side only; `drain` then waits for the broker's."""

    # From the broker

    def read(self, wanted: int = 0) -> bytes:
        """What has come, up to a chunk or, without TLS, the `wanted` bytes.

        Raises:
            BlockingIOError: nothing to read now.
            EOFError: the broker closed the connection.
            OSError: the connection is broken.
        """
        try:
            data = self._records(self._secure) if self._secure else self._sock.recv(max(_CHUNK_BYTES, wanted))
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
            raise BlockingIOError from None
        if not data:
            raise EOFError("the broker closed the connection")
        if _QUICKACK is not None and len(data) < _CHUNK_BYTES:
            # A broker with Nagle's algorithm on holds its next packet until this one is acknowledged,
            # and the system delays that by 40 ms unless told otherwise each time (Linux, tcp(7)).
            self._sock.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
        return data

    def _records(self, sock: ssl.SSLSocket) -> bytes:
        """Up to a chunk of one or more TLS records: a call brings no more than one, and brokers that send
        each packet in one of its own would be read at one message per turn of the loop.
        """
        if self._error:
            raise self._error
        pieces = [sock.recv(_CHUNK_BYTES)]
        size = len(pieces[0])
        try:
            while pieces[-1] and size < _CHUNK_BYTES:
                pieces.append(sock.recv(_CHUNK_BYTES - size))
                size += len(pieces[-1])
            if size and not pieces[-1]:
                # Only once: the event loop may not hear of it again.
                self._error = EOFError("the broker closed the connection")
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except OSError as error:
            # First what came before it.
            self._error = error
        return b"".join(pieces)

    @property
    def has_more(self) -> bool:
        """Is there something that the event loop does not know of?"""
        return self._secure is not None and (self._error is not None or self._secure.pending() > 0)

    # To the broker

    def write(self, data: bytes) -> None:
        """Send with the next `flush`."""
        self._out += data

    @property
    def is_waiting(self) -> bool:
        """Is there something to flush?"""
        return bool(self._out)

    def flush(self) -> None:
        """Send what the system takes now.

        Raises:
            OSError: the connection is broken.
        """
        with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
            while self._out:
                del self._out[: self._sock.send(self._out)]

    # What paho calls

    def hand(self, packet: bytes) -> None:
        """The one packet that paho reads next."""
        self._handed, self._position = packet, 0

    def recv(self, size: int) -> bytes:
        """At most `size` bytes of what was handed over.

        Raises:
            BlockingIOError: that was all.
        """
        start = self._position
        if start >= len(self._handed):
            raise BlockingIOError
        end = self._position = start + size
        return self._handed[start:end]

    def send(self, data: bytes) -> int:
        """How many bytes were taken.

        Raises:
            BlockingIOError: none now, the system has to take some first.
        """
        if len(self._out) > _MOST_WAITING_BYTES:
            raise BlockingIOError
        self.write(data)
        return len(data)

    def fileno(self) -> int:
        """The file descriptor; -1 when closed."""
        return self._sock.fileno()

    def setblocking(self, flag: bool) -> None:
        """Called by paho; the socket never blocks."""
        assert not flag

    def close(self) -> None:
        """Close the socket, unless it lingers."""
        if not self.lingers:
            self.abort()

    # The end

    def abort(self) -> None:
        """Close the socket at once."""
        self._sock.close()

    async def drain(self) -> None:
        """Send what is left, end our side of the stream, and wait for the end of the broker's.

        A socket closed with bytes unread sends RST, and that takes our last acknowledgements with it.
        """
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError):
            self.flush()
            while self.is_waiting:
                await _ready(self._sock, loop.add_writer, loop.remove_writer)
                self.flush()
            self._sock.shutdown(socket.SHUT_WR)
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
        if self._secure:
            about["tls_version"] = self._secure.version() or ""
        return about


class WebSocketLink(Link):
    """The same in the binary frames of a WebSocket (MQTT 5, section 6; RFC 6455)."""

    def __init__(self, sock: socket.socket, attempt: Attempt, path: str) -> None:
        super().__init__(sock)
        place = WebSocketURI(attempt.use_tls, attempt.host, attempt.port, quote(path, safe=_PATH), "")
        self._protocol = ClientProtocol(place, subprotocols=[Subprotocol("mqtt")], max_size=None)
        self._plain = bytearray()
        self._early = b""

    async def shake_hands(self) -> None:
        """Turn the connection into a WebSocket.

        Raises:
            WebSocketError: the answer is another.
            OSError, EOFError: the connection is broken.
        """
        loop = asyncio.get_running_loop()
        self._protocol.send_request(self._protocol.connect())
        self.flush()
        while self._protocol.state is State.CONNECTING:
            await _ready(self._sock, loop.add_reader, loop.remove_reader)
            with contextlib.suppress(BlockingIOError):
                self._early += self.read()
            self._check_answer()

    def _check_answer(self) -> None:
        if error := self._protocol.handshake_exc:
            response = getattr(error, "response", None)
            status = response.status_code if isinstance(response, Response) else None
            raise WebSocketError(str(error), status) from None

    def read(self, wanted: int = 0) -> bytes:
        """As `Link.read`.

        Raises:
            WebSocketError: the broker closed the WebSocket, and may have said why.
        """
        if self._early:
            data, self._early = self._early, b""
            return data
        while True:
            self._protocol.receive_data(super().read(wanted))
            data = self._payload()
            self.flush()
            if data:
                return data

    def _payload(self) -> bytes:
        frames = [event for event in self._protocol.events_received() if isinstance(event, Frame)]
        data = b"".join(frame.data for frame in frames if frame.opcode in (Opcode.BINARY, Opcode.CONT))
        closed = self._protocol.close_rcvd or self._protocol.close_sent
        if closed and not data and not self.lingers:
            raise WebSocketError(f"closed with {closed}", None)
        return data

    @property
    def has_more(self) -> bool:
        """Are there bytes that the event loop does not know of?"""
        return bool(self._early) or super().has_more

    def write(self, data: bytes) -> None:
        """Send with the next `flush`."""
        self._plain += data

    @property
    def is_waiting(self) -> bool:
        """Is there something to flush?"""
        return bool(self._plain or self._out)

    def flush(self) -> None:
        """Send what the system takes now, in one frame.

        Raises:
            OSError: the connection is broken.
        """
        if self._plain and self._protocol.state is State.OPEN:
            self._protocol.send_binary(bytes(self._plain))
            self._plain.clear()
        for piece in self._protocol.data_to_send():
            self._out += piece
        super().flush()


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
    tls: Tls | None = None,
    websocket_path: str | None = None,
    addresses: Sequence[str] | None = None,
    timeout_seconds: float = 10,
) -> Link:
    """Connect, do the TLS handshake when `attempt.use_tls`, and that of a WebSocket when there is a path;
    keeps `attempt.stage` up to date.

    With `addresses` the host is not resolved again; the certificate must be for the host all the same.

    Raises:
        OSError, EOFError, ValueError, TimeoutError: as it failed; `refusals.explain` puts it in words.
    """
    async with asyncio.timeout(timeout_seconds):
        attempt.stage = "resolve"
        targets = await resolve(attempt.host, attempt.port) if addresses is None else addresses
        attempt.stage = "connect"
        sock = await _connect_first(targets, attempt.port, timeout_seconds)
        try:
            if attempt.use_tls:
                attempt.stage = "tls"
                sock = await _start_tls(sock, attempt.host, tls or Tls())
            link = Link(sock)
            if websocket_path is not None:
                attempt.stage = "websocket"
                link = WebSocketLink(sock, attempt, websocket_path)
                await link.shake_hands()
        except BaseException:
            sock.close()
            raise
        attempt.stage = "connack"
        return link


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


async def _start_tls(sock: socket.socket, host: str, tls: Tls) -> ssl.SSLSocket:
    made = await asyncio.to_thread(context, tls)
    secure = made.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
    try:
        await _handshake(secure)
    except BaseException:
        secure.close()
        raise
    return secure


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
