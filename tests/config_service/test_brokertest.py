from __future__ import annotations

import asyncio
import re
import secrets
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest

from config_service import brokertest
from config_service.core import network
from mqtt_shared.messages import Broker
from mqtt_shared.mqtt import Connection, Message
from mqtt_shared.sealing import Secrets
from tests.shared.dynsec import PASSWORD, USER, dynamic_security
from tests.shared.scripted import ACCEPTED, ScriptedBroker, connack
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tests.support.certificates import Certificates
    from tests.support.servers import Broker as Mosquitto

OPEN = network.parse("none")


async def attempt(
    server: Any,
    filters: Mapping[str, int] | None = None,
    *,
    password: str | None = None,
    client_key: str | None = None,
    policy: network.NetworkPolicy = OPEN,
    timeout_seconds: float = 5,
    **options: Any,
) -> brokertest.TestResult:
    about: dict[str, Any] = {"host": "127.0.0.1", "port": getattr(server, "port", 0)} | options
    return await brokertest.test_connection(
        Broker(**about),
        Secrets(password=password, client_key=client_key),
        filters or {},
        policy=policy,
        timeout_seconds=timeout_seconds,
    )


@pytest.fixture
def topic() -> str:
    return f"/test/{secrets.token_hex(6)}"


async def test_success_has_the_promised_fields(mosquitto: Mosquitto, topic: str) -> None:
    result = await attempt(mosquitto, {topic: 1, f"$share/bre/{topic}": 1})
    assert (result.status, result.connected, result.error) == ("success", True, None)
    assert result.details == "Connected successfully"
    assert result.latency_ms is not None
    assert 0 < result.latency_ms < 5000
    assert result.broker_info is not None
    assert {"host", "port", "tls", "protocol"} <= result.broker_info.keys()


async def test_the_mqtt_listener_of_nats(nats_mqtt: tuple[str, int], topic: str) -> None:
    result = await attempt(None, {topic.removeprefix("/"): 1}, host=nats_mqtt[0], port=nats_mqtt[1])
    assert result.status == "success"


@pytest.mark.parametrize(
    ("code", "details"),
    [
        (1, "Incorrect protocol version"),
        (2, "Invalid client identifier"),
        (3, "Server unavailable"),
        (4, "Bad username or password"),
        (5, "Not authorized"),
    ],
)
async def test_return_codes_are_told_to_the_letter(code: int, details: str) -> None:
    async with ScriptedBroker(connack(code), then="close") as server:
        result = await attempt(server)
    assert result == brokertest.TestResult(
        status="error", connected=False, error=f"Connection failed with code {code}", details=details
    )


async def test_the_password_is_used_and_never_told(own_mosquitto: Callable[..., Mosquitto]) -> None:
    server = own_mosquitto(passwords={"instance": "right-secret"})
    good = await attempt(server, username="instance", password="right-secret")
    bad = await attempt(server, username="instance", password="wrong-secret")
    assert (good.status, bad.status) == ("success", "error")
    assert "secret" not in f"{good}{bad}"


# Running instances


async def test_running_instances_keep_every_message_and_their_session(
    mosquitto: Mosquitto, topic: str
) -> None:
    received: list[Message] = []
    lost: list[Any] = []
    client_id = f"i{secrets.token_hex(6)}"
    settings: dict[str, Any] = {"host": "127.0.0.1", "port": mosquitto.port, "client_id": client_id}

    def take(message: Message) -> None:
        received.append(message)
        instance.ack(message)

    instance = Connection(Broker(**settings), client_id=client_id, on_message=take, on_lost=lost.append)
    publisher = Connection(
        Broker(**settings), client_id=f"p{secrets.token_hex(6)}", on_message=lambda _: None
    )
    await instance.open()
    await publisher.open()
    shared = f"$share/bre/{topic}"
    await instance.subscribe({shared: 1})
    tests = [asyncio.create_task(attempt(mosquitto, {shared: 1, topic: 1}, **settings)) for _ in range(5)]
    sent = 0
    while not all(test.done() for test in tests):
        await publisher.publish(topic, b"", qos=1)
        sent += 1
    assert [test.result().status for test in tests] == ["success"] * 5
    await eventually(lambda: len(received) == sent)
    assert lost == []
    assert instance.is_open
    await instance.close()
    await publisher.close()


async def test_the_group_of_the_product_is_never_joined() -> None:
    granted = b"\x90\x04\x00\x01\x01\x01"
    async with ScriptedBroker(ACCEPTED, granted) as server:
        assert (await attempt(server, {"$share/bre//a": 1, "b": 1})).status == "success"
        await eventually(server.left.is_set)
    subscribe = server.received[1]
    # MQTT 3.1.1, 3.8: the length of the rest, then a packet id, then the filters, each with its length.
    filters = [text.decode() for text in re.findall(rb"\x00.([^\x00\x01]+)\x01", subscribe[4:])]
    assert len(filters) == 2
    assert re.fullmatch(r"\$share/test-[0-9a-f]{16}//a", filters[0])
    assert filters[1] == "b"


async def test_the_session_is_its_own_and_ends_with_it() -> None:
    async with ScriptedBroker(ACCEPTED) as server:
        result = await attempt(server, client_id="configured", clean_session=False)
        assert result.status == "success"
    connect = server.received[0]
    assert b"configured" not in connect
    assert b"test-" in connect
    # MQTT 3.1.1, 3.1.2.4: clean session.
    assert connect[9] & 0b10


async def test_a_stored_session_of_the_configured_client_id_stays(mosquitto: Mosquitto, topic: str) -> None:
    client_id = f"i{secrets.token_hex(6)}"
    kept = Broker(host="127.0.0.1", port=mosquitto.port, client_id=client_id, clean_session=False)

    def session() -> Connection:
        return Connection(kept, client_id=client_id, on_message=lambda _: None)

    first, again = session(), session()
    await first.open()
    await first.close()
    result = await attempt(mosquitto, {topic: 1}, client_id=client_id, clean_session=False)
    assert result.status == "success"
    await again.open()
    assert again.session_present
    await again.close()


# Subscriptions


async def test_refused_filters_are_named(own_mosquitto: Callable[..., Mosquitto], tmp_path: Path) -> None:
    server = own_mosquitto(*dynamic_security(tmp_path, ["allowed/#"]))
    login: dict[str, Any] = {"username": USER, "password": PASSWORD}
    result = await attempt(server, {"allowed/a": 1, "denied/a": 1, "$share/bre/denied/b": 1}, **login)
    assert (result.status, result.connected, result.error) == ("error", True, "Subscription refused")
    assert "denied/a, $share/bre/denied/b" in result.details
    assert "allowed/a" not in result.details
    shared = await attempt(server, {"allowed/a": 1, "$share/bre/allowed/b": 1}, **login)
    assert shared.error == "Shared subscriptions refused"
    assert "$share/bre/allowed/b" in shared.details
    assert "use_shared" in shared.details


async def test_a_broker_that_ends_the_connection_at_subscribe() -> None:
    async with ScriptedBroker(ACCEPTED, b"", then="close") as server:
        result = await attempt(server, {"a": 1})
    assert (result.status, result.error) == ("error", "Subscription failed")


async def test_a_filter_that_is_none(mosquitto: Mosquitto) -> None:
    result = await attempt(mosquitto, {"a/#/b": 1})
    assert (result.status, result.error) == ("error", "Invalid topic filter")


# Bounded in time


@pytest.mark.parametrize("answers", [(), (ACCEPTED,)])
async def test_silence_is_bounded_in_time(answers: tuple[bytes, ...]) -> None:
    async with ScriptedBroker(*answers) as server:
        started = time.monotonic()
        result = await attempt(server, {"a": 1}, timeout_seconds=0.3)
        # Not a speed: without a bound it would never end.
        assert time.monotonic() - started < 4
        assert result.status == "error"
        await asyncio.wait_for(server.left.wait(), 20)


async def test_a_name_server_that_does_not_answer_is_bounded_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: object, **__: object) -> list[Any]:
        return await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", never)
    async with ScriptedBroker() as server:
        result = await attempt(server, host="broker.example.com", timeout_seconds=0.1)
    assert result.error == "Host name lookup timed out"


async def test_cancelled_nothing_is_left() -> None:
    async with ScriptedBroker(ACCEPTED) as server:
        task = asyncio.create_task(attempt(server, {"a": 1}))
        await eventually(lambda: len(server.received) == 2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(server.left.wait(), 20)


# TLS


async def test_a_tls_port_spoken_plain_to(own_mosquitto: Callable[..., Mosquitto], tls: Certificates) -> None:
    server = own_mosquitto(tls=tls.server)
    result = await attempt(server, port=server.tls_port)
    assert result.error == "Port expects TLS"
    assert "use_tls" in result.details


async def test_a_plain_port_that_closes_is_not_taken_for_tls() -> None:
    async with ScriptedBroker(then="close") as server:
        assert (await attempt(server)).error == "Connection closed before CONNACK"


async def test_a_plain_port_spoken_tls_to(mosquitto: Mosquitto) -> None:
    assert (await attempt(mosquitto, use_tls=True)).error == "Port does not speak TLS"


async def test_tls_is_checked_for_the_name(
    own_mosquitto: Callable[..., Mosquitto], tls: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = own_mosquitto(tls=tls.server)
    options: dict[str, Any] = {"host": "localhost", "port": server.tls_port, "use_tls": True}
    assert (await attempt(server, **options)).error == "TLS certificate not trusted"
    monkeypatch.setenv("SSL_CERT_FILE", str(tls.ca))
    assert (await attempt(server, **options)).status == "success"


# Addresses


def resolving_to(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """The loop's resolver gives the answers one after the other; returns the names it was asked for."""
    asked: list[str] = []
    left = list(answers)

    async def getaddrinfo(host: str, port: int, **_: object) -> list[Any]:
        # uvloop asks also for what is an address already.
        is_address = host[0].isdigit()
        if not is_address:
            asked.append(host)
        found = [host] if is_address else left.pop(0)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    return asked


@pytest.mark.parametrize("host", ["169.254.169.254", "::ffff:169.254.169.254", "0.0.0.0", "fe80::1"])
async def test_a_denied_address_is_not_connected_to(mosquitto: Mosquitto, host: str) -> None:
    result = await attempt(mosquitto, host=host, policy=network.parse())
    assert (result.status, result.connected, result.error) == ("error", False, "Address not allowed")
    assert network.SETTING in result.details


async def test_a_name_of_a_denied_address(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving_to(monkeypatch, ["127.0.0.1"])
    async with ScriptedBroker(ACCEPTED) as server:
        result = await attempt(server, host="broker.example.com", policy=network.parse("127.0.0.0/8"))
        assert result.error == "Address not allowed"
        assert not server.connected.is_set()


async def test_the_name_is_resolved_once_so_that_it_cannot_change(
    mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = resolving_to(monkeypatch, ["127.0.0.1"], ["169.254.169.254"])
    result = await attempt(mosquitto, {"a": 1}, host="broker.example.com", policy=network.parse())
    assert result.status == "success"
    assert asked == ["broker.example.com"]


async def test_only_the_allowed_addresses_of_a_name_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving_to(monkeypatch, ["127.0.0.1", "127.0.0.2"])
    async with ScriptedBroker(connack(5)) as server:
        result = await attempt(server, host="broker.example.com", policy=network.parse("127.0.0.1"))
        assert result.error == "Connection refused"
        assert not server.connected.is_set()


async def test_nobody_there(own_mosquitto: Callable[..., Mosquitto]) -> None:
    server = own_mosquitto()
    server.kill()
    result = await attempt(server)
    assert (result.error, result.latency_ms, result.broker_info) == ("Connection refused", None, None)
