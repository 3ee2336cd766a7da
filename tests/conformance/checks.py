"""What a broker does, seen through the library: the same checks for every broker."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from typing import TYPE_CHECKING

from mqtt_shared.mqtt import ConnectionLostError, ConnectRefusedError, SubscribeRefusedError
from tests.faults.cells import Cell, Place, run_all
from tests.support.proxy import TcpProxy
from tests.support.waiting import eventually

from .brokers import ALLOWED, FORBIDDEN, Client, Server, client

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from mqtt_shared.messages import Broker
    from mqtt_shared.mqtt import Connection

CHECKS: dict[str, Callable[[Server, str], Awaitable[str | None]]] = {}
NOT_SET_UP = "not set up"


async def run(server: Server) -> dict[str, str]:
    """What each check found: `yes`, `no` with the reason, or what it is."""
    room = asyncio.Semaphore(6)

    async def one(check: Callable[[Server, str], Awaitable[str | None]]) -> str:
        async with room:
            return await _found(check, server)

    found = await asyncio.gather(*map(one, CHECKS.values()))
    return dict(zip(CHECKS, found, strict=True))


async def _found(check: Callable[[Server, str], Awaitable[str | None]], server: Server) -> str:
    try:
        async with asyncio.timeout(80):
            return await check(server, f"c{secrets.token_hex(4)}") or "yes"
    except ConnectRefusedError as error:
        return f"no: {error.refusal.error}"
    except SubscribeRefusedError:
        return "no: SUBSCRIBE refused"
    except ConnectionLostError as error:
        return f"no: connection lost ({error})"
    except (AssertionError, TimeoutError):
        return "no"


def _check(title: str) -> Callable[..., None]:
    def register(check: Callable[[Server, str], Awaitable[str | None]]) -> None:
        CHECKS[title] = check

    return register


@contextlib.asynccontextmanager
async def _pair(
    server: Server, name: str, filters: dict[str, int], broker: Broker | None = None
) -> AsyncGenerator[tuple[Client, Connection]]:
    """A consumer with these filters, and a publisher."""
    async with (
        client(broker or server.broker(), name, filters) as consumer,
        client(server.broker(), f"{name}p") as publisher,
    ):
        yield consumer, publisher.connection


async def _silence() -> None:
    """Long enough for what should not come to come."""
    await asyncio.sleep(0.5)


# Messages


@_check("QoS 0, 1 and 2")
async def _(server: Server, name: str) -> None:
    for qos in (0, 1, 2):
        async with _pair(server, f"{name}{qos}", {f"{name}/{qos}": qos}) as (consumer, publisher):
            await publisher.publish(f"{name}/{qos}", b"x", qos=qos)
            await consumer.got(b"x")
            assert consumer.messages[0].qos == qos


@_check("wildcards `+` and `#`")
async def _(server: Server, name: str) -> None:
    async with _pair(server, name, {f"{name}/+/x": 1, f"{name}/y/#": 1}) as (consumer, publisher):
        for topic in ("a/x", "y/b/c", "a/b/x", "a"):
            await publisher.publish(f"{name}/{topic}", topic.encode(), qos=1)
        await consumer.got(b"a/x", b"y/b/c")


@_check("topics that begin with `/`, as the default prefix does")
async def _(server: Server, name: str) -> None:
    async with _pair(server, name, {f"/{name}/+/x": 1}) as (consumer, publisher):
        await publisher.publish(f"/{name}/a/x", b"x", qos=1)
        await consumer.got(b"x")


@_check("topics with a space, a dot, UTF-8")
async def _(server: Server, name: str) -> str | None:
    refused = list[str]()
    for word, text in (("space", "a b"), ("dot", "a.b"), ("UTF-8", "\N{GREEK SMALL LETTER ALPHA}")):
        try:
            async with _pair(server, f"{name}{word}", {f"{name}/{text}": 1}) as (consumer, publisher):
                await publisher.publish(f"{name}/{text}", b"x", qos=1)
                await consumer.got(b"x", timeout=1)
        except (AssertionError, ConnectionLostError, SubscribeRefusedError):
            refused.append(word)
    return f"no: not with {', '.join(refused)}" if refused else None


@_check("a message of 900 KiB")
async def _(server: Server, name: str) -> None:
    async with _pair(server, name, {name: 1}) as (consumer, publisher):
        await publisher.publish(name, bytes(900 * 1024), qos=1)
        await consumer.got(bytes(900 * 1024))


@_check("retained messages")
async def _(server: Server, name: str) -> None:
    async with client(server.broker(), f"{name}p") as publisher:
        await publisher.connection.publish(name, b"kept", qos=1, retain=True)
        async with client(server.broker(), name, {name: 1}) as consumer:
            await consumer.got(b"kept")
            assert consumer.messages[0].retain
        await publisher.connection.publish(name, b"", qos=1, retain=True)


@_check("copies of a message for two overlapping filters (`a/+`, `+/b`)")
async def _(server: Server, name: str) -> str:
    async with _pair(server, name, {f"{name}/+/b": 1, f"{name}/a/+": 1}) as (consumer, publisher):
        await publisher.publish(f"{name}/a/b", b"x", qos=1)
        await eventually(lambda: consumer.messages)
        await _silence()
        return str(len(consumer.messages))


@_check("messages in flight without an acknowledgement")
async def _(server: Server, name: str) -> str:
    async with (
        client(server.broker(), name, {name: 1}, acks=False) as consumer,
        client(server.broker(), f"{name}p") as publisher,
    ):
        for _ in range(10):
            await asyncio.gather(*(publisher.connection.publish(name, b"x", qos=1) for _ in range(150)))
        await _silence()
        return str(len(consumer.messages)) if len(consumer.messages) < 1500 else "1,500 or more"


# Sessions


@_check("a clean session is forgotten")
async def _(server: Server, name: str) -> None:
    await _left(server, server.broker(), name)
    async with client(server.broker(clean_session=False), name) as consumer:
        assert not consumer.connection.session_present
        await _silence()
        assert not consumer.messages


@_check("a persistent session keeps messages")
async def _(server: Server, name: str) -> None:
    lasting = server.broker(clean_session=False)
    await _left(server, lasting, name)
    async with client(lasting, name) as consumer:
        assert consumer.connection.session_present
        await consumer.got(b"x")


@_check("a persistent session keeps 5,000 messages")
async def _(server: Server, name: str) -> str | None:
    lasting = server.broker(clean_session=False)
    await _left(server, lasting, name, count=5000)
    async with client(lasting, name) as consumer:
        with contextlib.suppress(AssertionError):
            await eventually(lambda: len(consumer.messages) == 5000, 4)
        return None if len(consumer.messages) == 5000 else f"no: {len(consumer.messages):,}"


async def _left(server: Server, broker: Broker, name: str, count: int = 1) -> None:
    """A client subscribes and leaves; then messages come."""
    async with client(broker, name, {name: 1}):
        pass
    async with client(server.broker(), f"{name}p") as publisher:
        for start in range(0, count, 500):
            calls = (publisher.connection.publish(name, b"x", qos=1) for _ in range(min(500, count - start)))
            await asyncio.gather(*calls)


@_check("delivered again at the reconnect after a cut, in order, as duplicates")
async def _(server: Server, name: str) -> str | None:
    return await _delivered_again(server, name, "3.1.1")


@_check("the same with MQTT 5")
async def _(server: Server, name: str) -> str | None:
    return await _delivered_again(server, name, "5")


async def _delivered_again(server: Server, name: str, protocol: str) -> str | None:
    async with TcpProxy(server.host, server.port) as proxy:
        lasting = server.broker(
            port=proxy.port,
            host=proxy.host,
            clean_session=False,
            protocol=protocol,
            session_expiry_seconds=60,
        )
        async with (
            client(server.broker(), f"{name}p") as publisher,
            client(lasting, name, {name: 1}, acks=False) as consumer,
        ):
            for payload in (b"1", b"2", b"3"):
                await publisher.connection.publish(name, payload, qos=1)
            await consumer.got(b"1", b"2", b"3")
            consumer.connection.ack(consumer.messages[0])
            await asyncio.sleep(0.2)
            proxy.cut()
            await consumer.connection.lost()
        async with client(lasting, name) as consumer:
            assert consumer.connection.session_present
            try:
                await consumer.got(b"2", b"3")
            except AssertionError:
                return "no: later, or not at all" if not consumer.messages else "no: in another order"
            assert all(message.duplicate for message in consumer.messages)
            return None


@_check("a second connection with the same client id ends the first")
async def _(server: Server, name: str) -> None:
    async with client(server.broker(), name) as first, client(server.broker(), name):
        await asyncio.wait_for(first.connection.lost(), 3)


# Shared subscriptions


@_check("shared subscriptions: each message to one member")
async def _(server: Server, name: str) -> str | None:
    return await _shared(server, f"$share/g/{name}", name, "3.1.1")


@_check("shared subscriptions with MQTT 5")
async def _(server: Server, name: str) -> str | None:
    return await _shared(server, f"$share/g/{name}", name, "5")


@_check("shared subscriptions to topics that begin with `/`")
async def _(server: Server, name: str) -> str | None:
    return await _shared(server, f"$share/g//{name}", f"/{name}", "3.1.1")


async def _shared(server: Server, topic_filter: str, topic: str, protocol: str) -> str | None:
    name = topic.strip("/")
    broker = server.broker(protocol=protocol)
    async with (
        client(broker, f"{name}1", {topic_filter: 1}) as one,
        client(broker, f"{name}2", {topic_filter: 1}) as two,
        client(server.broker(), f"{name}p") as publisher,
    ):
        sent = [str(number).encode() for number in range(20)]
        for payload in sent:
            await publisher.connection.publish(topic, payload, qos=1)
        await _silence()
        got = sorted(one.payloads + two.payloads, key=int)
        if not got:
            return "no: granted, but nothing is delivered"
        assert got == sent
        return None if one.messages and two.messages else "no: all to one member"


# Refusals


@_check("a wrong password is refused")
async def _(server: Server, name: str) -> str | None:
    if not server.strict_port:
        return NOT_SET_UP
    try:
        async with client(_strict(server), name, password="wrong"):
            return "no: let in"
    except ConnectRefusedError as error:
        return f"yes: {error.refusal.error}" if "code" in error.refusal.error else "no: closed without a word"


@_check("a forbidden filter is refused in the SUBACK, the others are granted")
async def _(server: Server, name: str) -> str | None:
    if not server.strict_port:
        return NOT_SET_UP
    async with client(_strict(server), name, password=server.password) as consumer:
        return await _one_refused(consumer)


async def _one_refused(consumer: Client) -> str | None:
    try:
        await consumer.connection.subscribe({ALLOWED: 1, FORBIDDEN: 1})
    except SubscribeRefusedError as error:
        return None if list(error.refused) == [FORBIDDEN] else "no: others too"
    return "no: granted"


def _strict(server: Server, **fields: object) -> Broker:
    secure = server.strict_port == server.tls_port
    return server.broker(
        port=server.strict_port, username=server.user, use_tls=secure, ca_certificate=server.ca, **fields
    )


# Ways to connect


@_check("TLS")
async def _(server: Server, name: str) -> str | None:
    if not server.tls_port:
        return NOT_SET_UP
    needs_user = server.strict_port == server.tls_port
    broker = server.broker(
        port=server.tls_port,
        use_tls=True,
        ca_certificate=server.ca,
        username=server.user if needs_user else None,
    )
    async with client(broker, name, {ALLOWED: 1}, password=server.password if needs_user else None):
        return None


@_check("WebSockets")
async def _(server: Server, name: str) -> str | None:
    if not server.websocket_port:
        return NOT_SET_UP
    broker = server.broker(port=server.websocket_port, transport="websockets")
    async with _pair(server, name, {name: 1}, broker) as (consumer, publisher):
        await publisher.publish(name, b"x", qos=1)
        await consumer.got(b"x")
        return None


# MQTT 5


@_check("MQTT 5")
async def _(server: Server, name: str) -> None:
    async with _pair(server, name, {name: 1}, server.broker(protocol="5")) as (consumer, publisher):
        await publisher.publish(name, b"x", qos=1)
        await consumer.got(b"x")


@_check("MQTT 5: a session ends when its expiry is over")
async def _(server: Server, name: str) -> str | None:
    brief = server.broker(protocol="5", clean_session=False, session_expiry_seconds=1)
    await _left(server, brief, name)
    async with client(brief, name) as consumer:
        if not consumer.connection.session_present:
            return "no: at once"
    # Mosquitto looks for sessions that are over once in a while.
    await asyncio.sleep(4)
    async with client(brief, name) as consumer:
        assert not consumer.connection.session_present
        return None


@_check("MQTT 5: a refusal tells why")
async def _(server: Server, name: str) -> str | None:
    if not server.strict_port:
        return NOT_SET_UP
    try:
        async with client(_strict(server, protocol="5"), name, password="wrong"):
            return "no: let in"
    except ConnectRefusedError as error:
        if "132" in error.refusal.error:
            raise
        return f"yes: {error.refusal.error}"


# A whole instance


@_check("an instance under load: a topic is renamed")
async def _(server: Server, name: str) -> str | None:
    return await _changed_under_load(server, name, "topic renamed")


@_check("an instance under load: a new connection with the same session")
async def _(server: Server, name: str) -> str | None:
    return await _changed_under_load(server, name, "keep-alive")


async def _changed_under_load(server: Server, name: str, change: str) -> str | None:
    if not server.nats_url or not server.folder:
        return NOT_SET_UP
    place = Place(
        nats_url=server.nats_url,
        port=server.port,
        second_port=server.port,
        tls_port=server.port,
        ca=server.ca or "",
        other_port=server.port,
        closed_port=0,
        # NATS delivers again after 30 seconds.
        patience_seconds=40,
        folder=server.folder,
    )
    cell = Cell(change=change, session="persistent", shared=False, protocol="3.1.1")
    [row] = await run_all([cell], place, name)
    if row.note:
        return f"no: {row.note}"
    return f"no: {row.lost} of {row.sent} lost" if row.lost else f"yes: none lost, {row.duplicated} repeated"
