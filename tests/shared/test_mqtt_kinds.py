"""The same connection as MQTT 3.1.1 and 5, over TCP, TLS and WebSockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from typing import TYPE_CHECKING, Any

import pytest

from deploy.local import kept
from mqtt_shared.mqtt import SubscribeRefusedError
from tests.support.waiting import eventually

from .dynsec import PASSWORD, USER, dynamic_security
from .scripted import ACCEPTED, ScriptedBroker
from .test_mqtt import Inbox, ack_all, opened, refusal, topic

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mqtt_shared.messages import Protocol, Transport
    from tests.support.certificates import Certificates
    from tests.support.servers import Broker as Mosquitto
    from tests.support.servers import Servers

__all__ = ["topic"]

ACCEPTED_5 = b"\x20\x03\x00\x00\x00"

KINDS: list[tuple[Protocol, Transport, bool]] = [
    ("3.1.1", "websockets", False),
    ("3.1.1", "websockets", True),
    ("5", "tcp", False),
    ("5", "tcp", True),
    ("5", "websockets", True),
]


@pytest.fixture(scope="module")
def everything(servers: Servers, tls: Certificates) -> dict[tuple[str, bool], Any]:
    """A Mosquitto with a listener for each transport, plain and TLS; by (transport, TLS) its port."""
    ports = {
        ("tcp", True): kept.free_port(),
        ("websockets", False): kept.free_port(),
        ("websockets", True): kept.free_port(),
    }
    lines = list[str]()
    for (transport, secure), port in ports.items():
        lines.append(f"listener {port} 127.0.0.1")
        if transport == "websockets":
            lines.append("protocol websockets")
        if secure:
            lines += [f"certfile {tls.server.certificate}", f"keyfile {tls.server.key}"]
    server = servers.mosquitto(*lines)
    return {**ports, ("tcp", False): server.port}


@pytest.mark.parametrize(("protocol", "transport", "use_tls"), KINDS)
async def test_messages_go_both_ways(
    everything: dict[tuple[str, bool], int],
    tls: Certificates,
    topic: str,
    protocol: Protocol,
    transport: Transport,
    use_tls: bool,
) -> None:
    kind: dict[str, Any] = {
        "port": everything[transport, use_tls],
        "protocol": protocol,
        "transport": transport,
        "use_tls": use_tls,
        "ca_certificate": tls.ca.read_text() if use_tls else None,
    }
    inbox = Inbox()
    async with opened(None, inbox, **kind) as one, opened(None, **kind) as other:
        assert one.broker_info["protocol"] == f"MQTT {protocol}"
        for qos in (0, 1, 2):
            assert await one.subscribe({f"{topic}/{qos}": qos}) == {f"{topic}/{qos}": qos}
        # Mosquitto sends 4 KiB at a time, ten times a second, over a WebSocket.
        payloads = [b"small", b"x" * (300_000 if transport == "tcp" else 5_000), b""]
        for payload in payloads:
            for qos in (0, 1, 2):
                await other.publish(f"{topic}/{qos}", payload, qos=qos)
        await eventually(lambda: len(inbox.messages) == 9)
        assert inbox.payloads == [payload for payload in payloads for _ in range(3)]
        assert [message.qos for message in inbox.messages] == [0, 1, 2] * 3
        ack_all(one, inbox)
        await one.unsubscribe([f"{topic}/1"])


async def test_a_session_of_mqtt_5_is_kept(mosquitto: Mosquitto, topic: str) -> None:
    options: dict[str, Any] = {"protocol": "5", "clean_session": False, "client_id": topic.replace("/", "")}
    first = Inbox()
    async with opened(mosquitto, first, **options) as one, opened(mosquitto) as other:
        await one.subscribe({topic: 1})
        await other.publish(topic, b"unacknowledged", qos=1)
        await eventually(lambda: first.messages)
    async with opened(mosquitto) as other:
        await other.publish(topic, b"while away", qos=1)
    again = Inbox()
    async with opened(mosquitto, again, **options) as one:
        assert one.session_present
        await eventually(lambda: len(again.messages) == 2)
        assert again.payloads == [b"unacknowledged", b"while away"]
        assert again.messages[0].duplicate
        ack_all(one, again)
    async with opened(mosquitto, Inbox(), **options | {"clean_session": True}) as one:
        assert not one.session_present


async def test_many_may_be_in_flight(mosquitto: Mosquitto, topic: str) -> None:
    inbox, count = Inbox(), 1100
    async with opened(mosquitto, inbox, protocol="5") as one, opened(mosquitto) as other:
        await one.subscribe({topic: 1})
        await asyncio.gather(*(other.publish(topic, b"%d" % number, qos=1) for number in range(count)))
        # Mosquitto by itself would stop at 20.
        await eventually(lambda: len(inbox.messages) >= 1000)
        ack_all(one, inbox)
        await eventually(lambda: len(inbox.messages) == count)


# Refusals


async def test_the_broker_of_mqtt_5_says_why(own_mosquitto: Callable[..., Mosquitto]) -> None:
    server = own_mosquitto(passwords={"known": "a-made-up-password"})
    refused = await refusal(server, protocol="5", username="known", password="wrong")
    assert (refused.error, refused.fatal) == ("Connection failed with code 135", True)
    assert "Not authorized" in refused.details


async def test_a_refused_filter_is_told_with_its_code(
    own_mosquitto: Callable[..., Mosquitto], tmp_path: Path
) -> None:
    server = own_mosquitto(*dynamic_security(tmp_path, ["granted/#"]))
    async with opened(server, protocol="5", username=USER, password=PASSWORD) as one:
        with pytest.raises(SubscribeRefusedError) as refused:
            await one.subscribe({"denied/x": 1, "granted/x": 1})
    assert list(refused.value.refused) == ["denied/x"]
    assert "Not authorized" in refused.value.refused["denied/x"]


@pytest.mark.parametrize(
    ("disconnect", "error", "words"),
    [
        (b"\xe0\x02\x8e\x00", "Session taken over", "same client id"),
        (b"\xe0\x02\x8b\x00", "Server shutting down", "shutting down"),
        (b"\xe0\x08\x98\x06\x1f\x00\x03bye", "Ended by the broker", "the broker says: bye"),
    ],
)
async def test_what_the_broker_says_at_the_end_is_told(disconnect: bytes, error: str, words: str) -> None:
    async with ScriptedBroker(ACCEPTED_5 + disconnect) as server:
        # With CONNACK in the same packet the connection never opens.
        lost = await refusal(server, protocol="5")
        assert (lost.error, lost.fatal) == (error, False)
        assert words in lost.details


@pytest.mark.parametrize("code", [0x87, 0x88])
async def test_a_refusal_of_mqtt_5_is_told_in_the_words_of_the_broker(code: int) -> None:
    connack = b"\x20\x0c\x00" + bytes([code]) + b"\x09\x1f\x00\x06not so"
    async with ScriptedBroker(connack) as server:
        refused = await refusal(server, protocol="5")
    assert refused.error == f"Connection failed with code {code}"
    assert "not so" in refused.details
    assert refused.fatal == (code == 0x87)


async def test_a_broker_of_the_old_version_is_told() -> None:
    async with ScriptedBroker(b"\x20\x02\x00\x01") as server:
        assert "set protocol to 3.1.1" in (await refusal(server, protocol="5")).details


async def test_a_websocket_port_spoken_plain_to_and_the_reverse(
    everything: dict[tuple[str, bool], int],
) -> None:
    port = everything["tcp", False]
    refused = await refusal(None, port=port, transport="websockets", connect_timeout_seconds=1)
    assert refused.error in {"Not a WebSocket", "WebSocket refused", "WebSocket handshake timed out"}
    assert "websocket_path" in refused.details


# TLS


@pytest.fixture
def demanding(own_mosquitto: Callable[..., Mosquitto], tls: Certificates) -> dict[str, Any]:
    """A listener that wants a client certificate."""
    server = own_mosquitto(tls=tls.server, client_ca=tls.ca)
    return {"port": server.tls_port, "use_tls": True, "ca_certificate": tls.ca.read_text()}


async def test_a_client_certificate_opens_the_door(demanding: dict[str, Any], tls: Certificates) -> None:
    identity: dict[str, Any] = {"client_certificate": tls.client.certificate.read_text()}
    async with opened(None, **demanding, **identity, client_key=tls.client.key.read_text()) as one:
        assert one.is_open


async def test_without_a_client_certificate_it_is_asked_for(demanding: dict[str, Any]) -> None:
    refused = await refusal(None, **demanding)
    assert refused.error == "TLS client certificate required"
    assert "client_certificate" in refused.details


async def test_a_key_that_does_not_fit_is_told_and_not_shown(
    demanding: dict[str, Any], tls: Certificates
) -> None:
    for key in (tls.server.key.read_text(), "no key at all", None):
        refused = await refusal(
            None, **demanding, client_certificate=tls.client.certificate.read_text(), client_key=key
        )
        assert refused.error == "TLS settings not usable"
        assert refused.fatal
        assert "PRIVATE" not in refused.details


async def test_an_authority_that_is_none_is_told(demanding: dict[str, Any]) -> None:
    refused = await refusal(None, **demanding | {"ca_certificate": "not PEM"})
    assert "ca_certificate" in refused.details


def _serve_old_tls(listener: socket.socket, old: ssl.SSLContext, times: int) -> None:
    for _ in range(times):
        sock, _ = listener.accept()
        # Not by asyncio, which closes without telling what is wrong.
        with contextlib.suppress(OSError), old.wrap_socket(sock, server_side=True) as secure:
            secure.recv(1000)
            secure.sendall(ACCEPTED)
            secure.recv(1000)
        sock.close()


async def test_the_lowest_version_of_tls_is_kept_to(tls: Certificates) -> None:
    old = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    old.load_cert_chain(tls.server.certificate, tls.server.key)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = asyncio.create_task(asyncio.to_thread(_serve_old_tls, listener, old, 2))
        options: dict[str, Any] = {
            "port": listener.getsockname()[1],
            "use_tls": True,
            "ca_certificate": tls.ca.read_text(),
        }
        async with opened(None, **options) as one:
            assert one.broker_info["tls_version"] == "TLSv1.2"
        assert (await refusal(None, **options, tls_min_version="1.3")).error == "TLS version not supported"
        await serving
