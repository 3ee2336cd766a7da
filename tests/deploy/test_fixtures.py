"""The servers and helpers that every other test relies on."""

from __future__ import annotations

import asyncio
import secrets
import ssl
from typing import TYPE_CHECKING, Any

import aiomqtt
import asyncpg
import nats
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.proxy import TcpProxy
from tests.support.servers import fetch_value
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from deploy.local.nats import Nats
    from deploy.local.postgres import Postgres
    from tests.support.certificates import Certificates
    from tests.support.servers import Broker


# Partly untyped.
_nats: Any = nats


async def test_each_test_has_a_database_of_its_own(empty_database_url: str) -> None:
    assert (
        await fetch_value(empty_database_url, "select count(*) from pg_tables where schemaname = 'public'")
        == 0
    )


async def test_the_database_refuses_a_wrong_password(postgres: Postgres) -> None:
    password = postgres.url().split(":")[2].split("@")[0]
    with pytest.raises(asyncpg.InvalidPasswordError):
        await fetch_value(postgres.url().replace(password, "wrong"), "select 1")


@pytest.mark.parametrize("kill", [False, True])
async def test_postgres_keeps_its_data_over_a_restart(own_postgres: Postgres, kill: bool) -> None:
    await fetch_value(own_postgres.url(), "create table kept as select 42 as n")
    own_postgres.restart(kill=kill)
    assert await fetch_value(own_postgres.url(), "select n from kept") == 42


@pytest.mark.parametrize("kill", [False, True])
async def test_nats_keeps_its_streams_over_a_restart(own_nats: Nats, nats_root: str, kill: bool) -> None:
    client = await _nats.connect(own_nats.url)
    await client.jetstream().add_stream(name=nats_root, subjects=[f"{nats_root}.>"])
    await client.jetstream().publish(f"{nats_root}.x", b"1")
    await client.close()
    own_nats.restart(kill=kill)
    client = await _nats.connect(own_nats.url)
    info = await client.jetstream().stream_info(nats_root)
    await client.close()
    assert info.state.messages == 1


async def test_a_frozen_server_answers_again_after_the_thaw(own_nats: Nats) -> None:
    own_nats.freeze()
    reader, writer = await asyncio.open_connection("127.0.0.1", own_nats.port)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.readline(), 0.1)
    own_nats.thaw()
    assert (await asyncio.wait_for(reader.readline(), 20)).startswith(b"INFO")
    writer.close()
    await writer.wait_closed()


async def _round_trip(host: str, port: int, **options: Any) -> bytes:
    topic = f"check/{secrets.token_hex(4)}"
    async with aiomqtt.Client(host, port, **options) as client:
        await client.subscribe(topic, qos=1)
        await client.publish(topic, b"hello", qos=1)
        message = await anext(client.messages)
        assert isinstance(message.payload, bytes)
        return message.payload


async def test_both_brokers_deliver(mosquitto: Broker, nats_mqtt: tuple[str, int]) -> None:
    assert await _round_trip(mosquitto.host, mosquitto.port) == b"hello"
    assert await _round_trip(*nats_mqtt) == b"hello"


async def test_passwords_and_client_certificates_are_demanded(
    own_mosquitto: Callable[..., Broker], tls: Certificates
) -> None:
    broker = own_mosquitto(passwords={"reader": "made-up"}, tls=tls.server, client_ca=tls.ca)
    context = tls.client_context()
    context.load_cert_chain(tls.client.certificate, tls.client.key)
    good = {"username": "reader", "password": "made-up"}
    assert await _round_trip("localhost", broker.tls_port, tls_context=context, **good) == b"hello"
    with pytest.raises(aiomqtt.MqttError):
        await _round_trip(broker.host, broker.port, username="reader", password="wrong")


@pytest.mark.parametrize("which", ["expired", "wrong_host"])
async def test_bad_certificates_are_refused(
    own_mosquitto: Callable[..., Broker], tls: Certificates, which: str
) -> None:
    broker = own_mosquitto(tls=getattr(tls, which))
    with pytest.raises(ssl.SSLCertVerificationError):
        await asyncio.open_connection("localhost", broker.tls_port, ssl=tls.client_context())


async def test_the_proxy_forwards_stalls_cuts_and_refuses(nats_server: Nats) -> None:
    async with TcpProxy("127.0.0.1", nats_server.port) as proxy:
        reader, writer = await asyncio.open_connection(proxy.host, proxy.port)
        assert (await reader.readline()).startswith(b"INFO")
        proxy.stall()
        writer.write(b'CONNECT {"verbose":false}\r\nPING\r\n')
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.readline(), 0.1)
        proxy.resume()
        assert await asyncio.wait_for(reader.readline(), 20) == b"PONG\r\n"
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
        proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(proxy.host, proxy.port)
        await proxy.accept()
        _, again = await asyncio.open_connection(proxy.host, proxy.port)
        again.close()


async def test_eventually_tells_the_lastfetch_value() -> None:
    answers = iter([0, 0, 7])
    assert await eventually(lambda: next(answers)) == 7
    with pytest.raises(AssertionError, match="last: 0"):
        await eventually(lambda: 0, timeout=0.05)


@given(st.integers())
def test_property_tests_run_beside_the_automatic_fixtures(number: int) -> None:
    assert number == int(str(number))
