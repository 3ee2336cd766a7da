"""One connection to an MQTT broker, 3.1.1 or 5. The only module that touches aiomqtt and paho.

aiomqtt keeps the calls that wait for an answer (SUBSCRIBE, UNSUBSCRIBE, PUBLISH), paho the protocol.
Connecting, reading, writing and ending are done here: with aiomqtt alone a message is acknowledged before
the work, some refusals show only as a time-out, and a cancelled attempt leaves its socket open. PUBLISH is
decoded here and acknowledged here; every other packet goes to paho. Both libraries are pinned exactly; a
test checks every private name that is used here.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from .dialing import Link, dial
from .packets import EXACTLY_ONCE, MalformedPacketError, Message, Stream, puback
from .refusals import (
    Attempt,
    ConnackError,
    EndedByBrokerError,
    NotMqttError,
    Refusal,
    explain,
    not_subscribed,
)
from .tls import Tls

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Mapping, Sequence

    from .messages import Broker

__all__ = ["ConnectRefusedError", "Connection", "ConnectionLostError", "Message", "SubscribeRefusedError"]


class ConnectRefusedError(Exception):
    """The attempt to connect failed; `refusal` says why."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal


class SubscribeRefusedError(Exception):
    """The broker refused the filters in `refused`, each with its reason; the others are subscribed."""

    def __init__(self, refused: dict[str, str]) -> None:
        super().__init__("; ".join(f"{topic}: {reason}" for topic, reason in refused.items()))
        self.refused = refused


class ConnectionLostError(Exception):
    """The connection is gone, or was closed, before the broker answered."""


_TICK_SECONDS = 1.0
_CLOSE_SECONDS = 2.0
# How many messages a broker of MQTT 5 may send without an acknowledgement (3.1.2.11.3). Left to themselves
# some stop at 20 or 32, and then a few that are slow hold up all others of the connection.
_RECEIVE_MAXIMUM = 1000
_KEEP_ALIVE_TIMEOUT = 141  # MQTT 5, 3.14.2.1: how paho names its own finding
_CONNACK = 0x20
_UNSUPPORTED_VERSION = 0x84
# All that a broker of 3.1.1 can say to a client of 5 is its own return code 1 (3.1.1, 3.2.2.3).
_OLD_BROKER = b"\x20\x02"


class Connection:
    """One attempt to connect, and the connection that comes of it; never used again once it is gone.

    `on_message` is called in the loop's thread for each message, in the order of receipt, possibly before
    `open` returns (a persistent session redelivers at once). It must not block or raise. Each message of
    QoS 1 or 2 stays unacknowledged until `ack`, which should follow the order of receipt (MQTT 3.1.1, 4.6);
    whatever was not acknowledged comes again in the next connection of the session, also after a kill -9.
    QoS 2 is exactly once as long as the process lives: PUBREC takes the place of PUBACK (4.3.3, method B).

    `client_key`: PEM, the key of `broker.client_certificate`.

    `on_lost` is called once, when the connection ends other than by `close` after `open` has returned.
    `on_released` is called with the packet id of each PUBREL: that message of QoS 2 will not be sent again.
    `addresses` are connected to in place of resolving the host.
    """

    def __init__(
        self,
        broker: Broker,
        *,
        client_id: str,
        password: str | None = None,
        client_key: str | None = None,
        on_message: Callable[[Message], None],
        on_lost: Callable[[Refusal], None] | None = None,
        on_released: Callable[[int], None] | None = None,
        connect_timeout_seconds: float = 10,
        addresses: Sequence[str] | None = None,
    ) -> None:
        self.client_id = client_id
        self.session_present: bool | None = None
        """Has the broker gone on with an earlier session? Null: it has not said."""
        self.broker_info: dict[str, Any] = {
            "host": broker.host,
            "port": broker.port,
            "tls": broker.use_tls,
            "protocol": f"MQTT {broker.protocol}",
        }
        if broker.use_tls:
            self.broker_info["certificate_verified"] = broker.verify_cert
        self._broker = broker
        self._attempt = Attempt(
            host=broker.host,
            port=broker.port,
            use_tls=broker.use_tls,
            has_identity=broker.client_certificate is not None,
            protocol=broker.protocol,
        )
        self._tls = Tls(
            verify_cert=broker.verify_cert,
            min_version=broker.tls_min_version,
            ca_certificate=broker.ca_certificate,
            client_certificate=broker.client_certificate,
            client_key=client_key,
        )
        self._addresses = addresses
        self._on_message = on_message
        self._on_lost = on_lost
        self._on_released = on_released
        self._timeout_seconds = connect_timeout_seconds
        self._loop = asyncio.get_running_loop()
        self._link: Link | None = None
        self._stream = Stream(version_5=broker.protocol == "5")
        self._head = b""
        self._words = ""
        self._tick: asyncio.TimerHandle | None = None
        self._calls = set[asyncio.Timeout]()
        self._writing = self._flush_due = self._paused = self._closing = self._used = False
        self._is_up = False
        """From CONNACK on, before `open` returns: what is redelivered at once may be acknowledged at once."""
        self._said_goodbye = asyncio.Event()
        self._accepted: asyncio.Future[None] = self._loop.create_future()
        self._ended: asyncio.Future[Refusal] = self._loop.create_future()
        self._client = _client(broker, client_id, password)
        self._paho = self._take_over(cast("Any", self._client)._client)

    @property
    def is_open(self) -> bool:
        """Is the connection up, as far as is known?"""
        return self._attempt.stage == "connected" and self._is_up

    @property
    def has_asked(self) -> bool:
        """Was CONNECT sent? The broker may have begun a session then, whether it has said so or not."""
        return self._attempt.stage in ("connack", "connected")

    # Opening and ending

    async def open(self) -> None:
        """Connect.

        Raises:
            ConnectRefusedError: no connection; nothing is left open.
        """
        if self._used:
            raise RuntimeError("a Connection is one attempt: make a new one")
        self._used = True
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await self._connect()
        except (OSError, EOFError, ValueError) as error:
            self._release()
            raise ConnectRefusedError(explain(error, self._attempt)) from error
        except BaseException:
            self._release()
            raise
        self._attempt.stage = "connected"
        # paho looks once a tick: a second early, a silent broker is found within two keep-alives.
        self._paho._keepalive = max(1, self._paho._keepalive - 1)
        self._schedule_tick()

    async def _connect(self) -> None:
        self._link = await dial(
            self._attempt,
            tls=self._tls,
            websocket_path=self._broker.websocket_path if self._broker.transport == "websockets" else None,
            addresses=self._addresses,
            timeout_seconds=self._timeout_seconds,
        )
        if self._closing:
            raise _closed_meanwhile()
        self.broker_info |= self._link.info
        # Does not block: the socket is connected already.
        broker = self._broker
        self._paho.connect(broker.host, broker.port, broker.keep_alive, **self._session())
        if self._link.has_more:
            self._loop.call_soon(self._read)
        await self._accepted
        if self._ended.done():
            # CONNACK and the end came in the same turn of the loop.
            raise ConnectRefusedError(self._ended.result())

    def _session(self) -> dict[str, Any]:
        if self._broker.protocol != "5":
            return {}
        properties: Any = Properties(PacketTypes.CONNECT)
        if not self._broker.clean_session:
            # Without it the session ends with the connection (MQTT 5, 3.1.2.11.2).
            properties.SessionExpiryInterval = self._broker.session_expiry_seconds
        properties.ReceiveMaximum = _RECEIVE_MAXIMUM
        return {"clean_start": self._broker.clean_session, "properties": properties}

    async def close(self) -> None:
        """Send what is waiting and DISCONNECT, and end the connection within two seconds; never raises."""
        if self._closing:
            return
        was_open = self.is_open
        self._closing, self._is_up = True, False
        try:
            if was_open and self._link:
                await self._disconnect(self._link)
        finally:
            self._end_calls()
            if not self._accepted.done():
                self._accepted.set_exception(_closed_meanwhile())
            self._release()

    async def _disconnect(self, link: Link) -> None:
        self.pause()
        link.lingers = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                self._paho.disconnect()
                await self._said_goodbye.wait()
                await link.drain()

    async def lost(self) -> Refusal:
        """Wait until the connection is gone other than by `close`, and say why."""
        return await asyncio.shield(self._ended)

    def _fail(self, error: BaseException) -> None:
        """The end, whoever noticed it. Safe to call from paho's callbacks, and again."""
        if not self._accepted.done():
            self._accepted.set_exception(error)
            return
        if self._closing:
            self._said_goodbye.set()
        elif not self._ended.done():
            self._end(explain(error, self._attempt))

    def _end(self, refusal: Refusal) -> None:
        self._is_up = False
        self._ended.set_result(refusal)
        self._end_calls()
        if self._attempt.stage == "connected":
            # Later: paho holds a lock while it calls back.
            self._loop.call_soon(self._tell_lost, refusal)

    def _tell_lost(self, refusal: Refusal) -> None:
        self._release()
        if self._on_lost:
            self._on_lost(refusal)

    def _end_calls(self) -> None:
        for scope in self._calls:
            with contextlib.suppress(RuntimeError):  # it is running out by itself just now
                scope.reschedule(self._loop.time())

    def _release(self) -> None:
        self._is_up = False
        if self._tick:
            self._tick.cancel()
        if self._link:
            self._link.lingers = False
            self._paho._sock_close()
            self._link.abort()
        if self._accepted.done() and not self._accepted.cancelled():
            # Retrieved, so that asyncio does not report it.
            self._accepted.exception()

    # Calls

    async def subscribe(self, filters: Mapping[str, int]) -> dict[str, int]:
        """Subscribe each filter with its QoS, in one packet; the granted QoS of each.

        Raises:
            SubscribeRefusedError: the broker refused some; the others are subscribed.
            ConnectionLostError: no answer.
        """
        if not filters:
            return {}
        async with self._call("SUBSCRIBE"):
            answer = await self._client.subscribe(list(filters.items()), timeout=math.inf)
        codes = cast("list[Any]", answer)
        if len(codes) != len(filters):
            self._fail(NotMqttError(b""))
            raise ConnectionLostError("The broker's SUBACK does not fit the SUBSCRIBE")
        results = dict(zip(filters, codes, strict=True))
        if refused := {
            topic: not_subscribed(int(code.value), self._words)
            for topic, code in results.items()
            if code.is_failure
        }:
            raise SubscribeRefusedError(refused)
        return {topic: int(code.value) for topic, code in results.items()}

    async def unsubscribe(self, filters: Iterable[str]) -> None:
        """Unsubscribe; messages that are on their way may still come.

        Raises:
            ConnectionLostError: no answer.
        """
        if topics := list(filters):
            async with self._call("UNSUBSCRIBE"):
                await self._client.unsubscribe(topics, timeout=math.inf)

    async def publish(self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False) -> None:
        """Publish, and wait until the broker has it (QoS 0: until it is handed to the system).

        Raises:
            ConnectionLostError: no answer; the message may or may not have arrived.
            ValueError: not a topic.
        """
        async with self._call("PUBLISH"):
            await self._client.publish(topic, payload, qos, retain, timeout=math.inf)

    @contextlib.asynccontextmanager
    async def _call(self, what: str) -> AsyncGenerator[None]:
        if not self.is_open:
            raise ConnectionLostError(f"{what}: {self._why_gone()}")
        try:
            async with asyncio.timeout(self._timeout_seconds) as scope:
                self._calls.add(scope)
                try:
                    yield
                finally:
                    self._calls.discard(scope)
        except TimeoutError:
            if self._is_up and what != "PUBLISH":
                # Which filters are subscribed now is not known: only a new connection tells.
                self._fail(TimeoutError(f"{what} was not answered"))
            raise ConnectionLostError(f"{what}: {self._why_gone()}") from None
        except aiomqtt.MqttError as error:
            raise ConnectionLostError(f"{what}: {error}") from error

    def _why_gone(self) -> str:
        if self._ended.done():
            return str(self._ended.result())
        if self._closing:
            return "the connection is closed"
        return "the broker did not answer in time" if self.is_open else "the connection is not open"

    def ack(self, message: Message) -> bool:
        """Tell the broker that the work is done. False: the connection is gone, the message will come again.

        `message` must have come from this connection. QoS 0 needs nothing: always true.
        """
        if message.qos == 0:
            return True
        if not self._is_up:
            return False
        if message.qos == EXACTLY_ONCE:
            return self._paho._send_pubrec(message.mid) == 0
        assert self._link
        self._link.write(puback(message.mid))
        self._write_wanted()
        return True

    # Back-pressure

    def pause(self) -> None:
        """Stop reading: no more `on_message` until `resume`, and the broker is held up by TCP.

        Answers are not read either, so a call that waits for one waits too, and fails when its time is up.
        The connection is kept alive meanwhile, but a broker that has died is noticed only by TCP.
        """
        if not self._paused and self._link and self._link.fileno() >= 0:
            self._loop.remove_reader(self._link.fileno())
        self._paused = self._stream.paused = True

    def resume(self) -> None:
        """Read again."""
        if self._paused and self._is_up and self._link:
            self._paused = self._stream.paused = False
            self._loop.add_reader(self._link.fileno(), self._read)
            # What was read from the socket already does not wake the event loop.
            self._loop.call_soon(self._read)

    # The event loop: these drive paho

    def _take_over(self, paho: Any) -> Any:
        """Set up paho before CONNECT: redelivery begins right behind CONNACK."""
        paho.disable_logger()
        paho.manual_ack_set(True)
        paho.on_connect = self._connack_received
        paho.on_disconnect = self._disconnected
        paho.on_socket_open = self._socket_opened
        paho.on_socket_close = self._socket_closing
        paho.on_socket_register_write = self._write_wanted
        paho.on_socket_unregister_write = self._write_done
        paho._create_socket = lambda: self._link
        paho._handle_pubrel = self._pubrel_received
        self._suback_received = paho.on_subscribe
        paho.on_subscribe = self._keep_words
        return paho

    def _socket_opened(self, _client: Any, _userdata: Any, link: Link) -> None:
        self._loop.add_reader(link.fileno(), self._read)

    def _socket_closing(self, _client: Any, _userdata: Any, link: Link) -> None:
        self._loop.remove_reader(link.fileno())
        self._stop_writing(link)

    def _read(self) -> None:
        link, stream = self._link, self._stream
        assert link
        if self._paused or link.fileno() < 0:
            return
        try:
            # What was left when reading paused comes first.
            self._take()
            stream.feed(self._received(link))
            self._take()
        except BlockingIOError:
            return
        except (OSError, EOFError) as error:
            self._fail(error)
        except Exception as error:
            self._broken(error)
        else:
            if link.has_more:
                self._loop.call_soon(self._read)

    def _received(self, link: Link) -> bytes:
        data = link.read(self._stream.missing)
        self._paho._last_bytes_received = time.monotonic()
        if len(self._head) < len(_OLD_BROKER):
            self._check_head(data)
        return data

    def _check_head(self, data: bytes) -> None:
        self._head = (self._head + data)[:4]
        # Told at once: the second byte of something else may promise a packet that never comes.
        is_connack = self._head[0] == _CONNACK
        if self._broker.protocol == "3.1.1":
            is_connack = _OLD_BROKER.startswith(self._head[:2])
        if not is_connack:
            raise NotMqttError(self._head)

    def _take(self) -> None:
        try:
            self._stream.take(self._on_message, self._packet_received, datetime.now(UTC))
        except MalformedPacketError as error:
            raise NotMqttError(b"") from error

    def _packet_received(self, first: int, packet: bytes) -> None:
        if first == _CONNACK and not self._accepted.done() and self._refused(packet):
            return
        if first != _CONNACK and not self._is_up and not self._accepted.done():
            raise NotMqttError(packet[:4])
        assert self._link
        self._link.hand(packet)
        self._paho.loop_read()

    def _refused(self, packet: bytes) -> bool:
        """Is it a return code of MQTT 3.1.1 other than 0, which paho does not tell in all cases?"""
        if not packet.startswith(_OLD_BROKER):
            return False
        if self._broker.protocol == "5":
            raise ConnackError(_UNSUPPORTED_VERSION, protocol="5")
        if packet[3]:
            raise ConnackError(packet[3])
        return False

    def _broken(self, error: Exception) -> None:
        """paho or a handler raised: the stream of packets cannot be trusted any more."""
        self.pause()
        self._loop.call_exception_handler({"message": "MQTT connection broken", "exception": error})
        self._fail(RuntimeError(f"an internal error ({type(error).__name__}); the log has the rest"))

    def _write_wanted(self, *_: Any) -> None:
        # One turn later, so that all that a turn writes goes out together, without asking the selector.
        if not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._write)

    def _write(self) -> None:
        self._flush_due = False
        link = self._link
        assert link
        if link.fileno() < 0:
            return None
        try:
            self._paho.loop_write()
            link.flush()
            waiting = link.is_waiting or (self._paho.socket() is link and self._paho.want_write())
        except OSError as error:
            # A peer that closed on us may have said why: a TLS alert, a CONNACK, a DISCONNECT.
            self._read()
            return self._fail(error)
        except Exception as error:
            return self._broken(error)
        if not waiting:
            self._stop_writing(link)
        elif not self._writing:
            self._writing = True
            self._loop.add_writer(link.fileno(), self._write)
        return None

    def _write_done(self, *_: Any) -> None:
        """paho has nothing more; the link may."""

    def _stop_writing(self, link: Link) -> None:
        if self._writing:
            self._writing = False
            self._loop.remove_writer(link.fileno())

    def _schedule_tick(self) -> None:
        self._tick = self._loop.call_later(_TICK_SECONDS, self._check_keep_alive)

    def _check_keep_alive(self) -> None:
        if not self._is_up:
            return
        if self._paused:
            # The answer to PINGREQ is not read: do not take its absence for a dead broker.
            self._paho._ping_t = 0.0
        self._paho.loop_misc()
        self._schedule_tick()

    # What paho tells

    def _connack_received(
        self, _client: Any, _userdata: Any, flags: Any, reason: Any, properties: Any
    ) -> None:
        if self._accepted.done():
            return None
        if reason.is_failure:
            return self._fail(
                ConnackError(
                    int(reason.value), protocol=self._broker.protocol, words=_reason_string(properties)
                )
            )
        self.session_present = bool(flags.session_present)
        self._is_up = True
        self._accepted.set_result(None)
        return None

    def _keep_words(
        self, client: Any, userdata: Any, mid: int, reason_codes: Any, properties: Any = None
    ) -> None:
        self._words = _reason_string(properties)
        self._suback_received(client, userdata, mid, reason_codes, properties)

    def _disconnected(self, _client: Any, _userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        if flags.is_disconnect_packet_from_server:
            self._fail(EndedByBrokerError(int(reason.value), _reason_string(properties)))
        elif reason.value == _KEEP_ALIVE_TIMEOUT:
            self._fail(TimeoutError("no answer to PINGREQ"))
        else:
            self._fail(NotMqttError(b""))

    def _pubrel_received(self) -> int:
        mid = int.from_bytes(self._paho._in_packet["packet"][:2])
        if self._on_released:
            self._on_released(mid)
        return self._paho.ack(mid, EXACTLY_ONCE)


def _reason_string(properties: Any) -> str:
    """What the broker says of it (MQTT 5, 3.2.2.3.9)."""
    return str(getattr(properties, "ReasonString", ""))


class _Client(aiomqtt.Client):
    @property
    def _pending_calls(self) -> Generator[int, None, None]:
        # aiomqtt walks through all pending calls at each call, to warn of many of them.
        yield from ()


def _client(broker: Broker, client_id: str, password: str | None) -> aiomqtt.Client:
    return _Client(
        broker.host,
        broker.port,
        identifier=client_id,
        username=broker.username or None,
        password=password,
        clean_session=None if broker.protocol == "5" else broker.clean_session,
        protocol=aiomqtt.ProtocolVersion.V5 if broker.protocol == "5" else aiomqtt.ProtocolVersion.V311,
    )


def _closed_meanwhile() -> ConnectionAbortedError:
    return ConnectionAbortedError("closed by close() while it was opening")
