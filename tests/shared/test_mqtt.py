from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import sys
import textwrap
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from mqtt_shared.messages import Broker
from mqtt_shared.mqtt import (
    Connection,
    ConnectionLostError,
    ConnectRefusedError,
    Message,
    SubscribeRefusedError,
)
from tests.support.waiting import eventually

from .dynsec import PASSWORD, USER, dynamic_security
from .scripted import ACCEPTED, ScriptedBroker, connack

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from pathlib import Path

    from mqtt_shared.refusals import Refusal
    from tests.support.certificates import Certificates
    from tests.support.servers import Broker as Mosquitto

SUBACK_REFUSED = b"\x90\x03\x00\x01\x80"


@dataclass
class Inbox:
    """What a connection was sent, and why it was lost."""

    messages: list[Message] = field(default_factory=list[Message])
    lost: list[Refusal] = field(default_factory=list["Refusal"])

    @property
    def payloads(self) -> list[bytes]:
        return [message.payload for message in self.messages]


def connection(server: Any, inbox: Inbox | None = None, **options: Any) -> Connection:
    inbox = inbox or Inbox()
    named: dict[str, Any] = {
        "client_id": f"c{secrets.token_hex(6)}",
        "on_message": inbox.messages.append,
        "on_lost": inbox.lost.append,
        "password": None,
        "client_key": None,
        "connect_timeout_seconds": 5,
    }
    own = {name: options.pop(name) for name in list(options) if name in named or name == "addresses"}
    about: dict[str, Any] = {"host": "127.0.0.1", "port": getattr(server, "port", 0)} | options
    broker = Broker(**about)
    return Connection(broker, **(named | own))


@contextlib.asynccontextmanager
async def opened(server: Any, inbox: Inbox | None = None, **options: Any) -> AsyncGenerator[Connection]:
    made = connection(server, inbox, **options)
    await made.open()
    try:
        yield made
    finally:
        await made.close()


def ack_all(one: Connection, inbox: Inbox) -> None:
    for message in inbox.messages:
        assert one.ack(message)


async def refusal(server: Any, **options: Any) -> Refusal:
    with pytest.raises(ConnectRefusedError) as caught:
        await connection(server, **options).open()
    assert str(caught.value) == str(caught.value.refusal)
    return caught.value.refusal


@pytest.fixture
def topic() -> str:
    return f"/test/{secrets.token_hex(6)}"


# Messages


@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_a_message_arrives_with_all_its_fields(mosquitto: Mosquitto, topic: str, qos: int) -> None:
    inbox = Inbox()
    async with opened(mosquitto, inbox) as one, opened(mosquitto) as other:
        assert await one.subscribe({topic: qos}) == {topic: qos}
        await other.publish(topic, b"\x00\xff", qos=qos)
        (message,) = await eventually(lambda: inbox.messages)
        assert (message.topic, message.payload, message.qos) == (topic, b"\x00\xff", qos)
        assert (message.retain, message.duplicate) == (False, False)
        assert (message.mid > 0) == (qos > 0)
        assert message.received_at.utcoffset() is not None
        assert one.ack(message)


async def test_the_mqtt_listener_of_nats_is_a_broker_too(nats_mqtt: tuple[str, int], topic: str) -> None:
    inbox, topic = Inbox(), topic.removeprefix("/")
    options: dict[str, Any] = {"host": nats_mqtt[0], "port": nats_mqtt[1]}
    async with opened(None, inbox, **options) as one:
        assert await one.subscribe({topic: 1}) == {topic: 1}
        await one.publish(topic, b"here", qos=1)
        (message,) = await eventually(lambda: inbox.messages)
        assert message.payload == b"here"
        assert one.ack(message)


async def test_unsubscribed_means_no_more_messages(mosquitto: Mosquitto, topic: str) -> None:
    inbox = Inbox()
    async with opened(mosquitto, inbox) as one:
        await one.subscribe({f"{topic}/a": 1, f"{topic}/b": 1})
        await one.unsubscribe([f"{topic}/a"])
        for name in ("a", "b"):
            await one.publish(f"{topic}/{name}", name.encode(), qos=1)
        await eventually(lambda: inbox.messages)
        assert inbox.payloads == [b"b"]


async def test_nothing_to_do_asks_nothing(mosquitto: Mosquitto) -> None:
    async with opened(mosquitto) as one:
        assert await one.subscribe({}) == {}
        await one.unsubscribe([])


@pytest.mark.parametrize("qos", [0, 1])
async def test_a_burst_arrives_whole_and_in_order(mosquitto: Mosquitto, topic: str, qos: int) -> None:
    inbox, wanted = Inbox(), [str(number).encode() for number in range(3000)]

    def take(message: Message) -> None:
        inbox.messages.append(message)
        assert one.ack(message)

    one = connection(mosquitto, on_message=take)
    await one.open()
    await one.subscribe({topic: qos})
    async with opened(mosquitto) as other:
        await asyncio.gather(*(other.publish(topic, payload, qos=qos) for payload in wanted))
        await eventually(lambda: len(inbox.messages) >= len(wanted))
    await one.close()
    assert inbox.payloads == wanted


async def test_a_message_of_a_megabyte_arrives(
    own_mosquitto: Callable[..., Mosquitto],
    tls: Certificates,
    topic: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = own_mosquitto(tls=tls.server)
    monkeypatch.setenv("SSL_CERT_FILE", str(tls.ca))
    inbox, payload = Inbox(), os.urandom(2**20)
    options = {"host": "localhost", "port": server.tls_port, "use_tls": True}
    async with opened(server, inbox, **options) as one:
        await one.subscribe({topic: 1})
        await one.publish(topic, payload, qos=1)
        (message,) = await eventually(lambda: inbox.messages)
        assert message.payload == payload


async def test_what_is_not_acknowledged_holds_up_the_broker(
    own_mosquitto: Callable[..., Mosquitto], topic: str
) -> None:
    server, inbox = own_mosquitto("max_inflight_messages 3"), Inbox()
    async with opened(server, inbox) as one, opened(server) as other:
        await one.subscribe({topic: 1})
        await asyncio.gather(*(other.publish(topic, b"", qos=1) for _ in range(5)))
        await eventually(lambda: len(inbox.messages) == 3)
        for message in inbox.messages[:2]:
            assert one.ack(message)
        await eventually(lambda: len(inbox.messages) == 5)


# Acknowledgement and redelivery

RECEIVER = """
    import asyncio, sys
    from mqtt_shared.messages import Broker
    from mqtt_shared.mqtt import Connection

    async def main(port, client_id, topic, qos):
        show = lambda message: print(message.payload.decode(), flush=True)
        broker = Broker(host="127.0.0.1", port=port, clean_session=False)
        connection = Connection(broker, client_id=client_id, on_message=show)
        await connection.open()
        await connection.subscribe({topic: qos})
        print("subscribed", flush=True)
        await connection.lost()

    asyncio.run(main(int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])))
"""


@pytest.mark.parametrize("qos", [1, 2])
async def test_killed_between_receipt_and_ack_everything_comes_again(
    mosquitto: Mosquitto, topic: str, qos: int
) -> None:
    client_id, wanted = f"k{secrets.token_hex(6)}", [b"1", b"2", b"3"]
    arguments = [str(mosquitto.port), client_id, topic, str(qos)]
    program = [sys.executable, "-c", textwrap.dedent(RECEIVER), *arguments]
    process = await asyncio.create_subprocess_exec(
        *program, stdout=asyncio.subprocess.PIPE, env=os.environ | {"PYTHONPATH": "shared"}
    )
    assert process.stdout
    try:
        async with asyncio.timeout(20), opened(mosquitto) as publisher:
            assert await process.stdout.readline() == b"subscribed\n"
            for payload in wanted:
                await publisher.publish(topic, payload, qos=qos)
                assert await process.stdout.readline() == payload + b"\n"
    finally:
        process.send_signal(signal.SIGKILL)
        await process.wait()
    inbox = Inbox()
    async with opened(mosquitto, inbox, client_id=client_id, clean_session=False) as again:
        assert again.session_present
        await eventually(lambda: len(inbox.messages) == 3)
        assert inbox.payloads == wanted
        assert all(message.duplicate for message in inbox.messages)
        ack_all(again, inbox)
    inbox = Inbox()
    async with opened(mosquitto, inbox, client_id=client_id, clean_session=False) as done:
        assert done.session_present
        # An answer behind everything that could have come first.
        await done.unsubscribe([topic])
        assert inbox.messages == []
    async with opened(mosquitto, client_id=client_id):
        pass


async def test_the_last_acks_arrive_before_the_goodbye(mosquitto: Mosquitto, topic: str) -> None:
    client_id, inbox = f"k{secrets.token_hex(6)}", Inbox()
    one = connection(mosquitto, inbox, client_id=client_id, clean_session=False)
    await one.open()
    await one.subscribe({topic: 1})
    async with opened(mosquitto) as publisher:
        await asyncio.gather(*(publisher.publish(topic, b"", qos=1) for _ in range(15)))
    await eventually(lambda: len(inbox.messages) == 15)
    ack_all(one, inbox)
    await one.close()
    again = Inbox()
    async with opened(mosquitto, again, client_id=client_id, clean_session=False) as two:
        await two.unsubscribe([topic])
        assert again.messages == []
    async with opened(mosquitto, client_id=client_id):
        pass


async def test_redelivered_before_open_returns_may_be_acknowledged_at_once(
    mosquitto: Mosquitto, topic: str
) -> None:
    client_id = f"k{secrets.token_hex(6)}"
    async with opened(mosquitto, client_id=client_id, clean_session=False) as one:
        await one.subscribe({topic: 1})
    async with opened(mosquitto) as publisher:
        await publisher.publish(topic, b"waiting", qos=1)
    acked: list[bool] = []

    def take(message: Message) -> None:
        acked.append(two.ack(message))

    two = connection(mosquitto, client_id=client_id, clean_session=False, on_message=take)
    await two.open()
    await eventually(lambda: acked == [True])
    await two.close()
    async with opened(mosquitto, client_id=client_id) as three:
        assert not three.session_present


async def test_nothing_is_acknowledged_on_a_dead_connection(
    own_mosquitto: Callable[..., Mosquitto], topic: str
) -> None:
    server, inbox = own_mosquitto(), Inbox()
    one = connection(server, inbox)
    await one.open()
    await one.subscribe({topic: 1})
    await one.publish(topic, b"", qos=1)
    await eventually(lambda: inbox.messages)
    server.kill()
    await asyncio.wait_for(one.lost(), 20)
    (message,) = inbox.messages
    assert not one.ack(message)
    message.qos = 0
    assert one.ack(message)


# SUBSCRIBE


async def test_each_refused_filter_is_named_and_the_others_are_subscribed(
    own_mosquitto: Callable[..., Mosquitto], tmp_path: Path
) -> None:
    server, inbox = own_mosquitto(*dynamic_security(tmp_path, ["allowed/#"])), Inbox()
    async with opened(server, inbox, username=USER, password=PASSWORD) as one:
        with pytest.raises(SubscribeRefusedError, match="denied/a") as caught:
            await one.subscribe({"denied/a": 1, "allowed/a": 1, "$share/g/allowed/b": 0})
        assert list(caught.value.refused) == ["denied/a", "$share/g/allowed/b"]
        assert all("refused" in reason for reason in caught.value.refused.values())
        await one.publish("allowed/a", b"here")
        await eventually(lambda: inbox.payloads == [b"here"])


async def test_a_suback_that_does_not_fit_ends_the_connection() -> None:
    async with ScriptedBroker(ACCEPTED, b"\x90\x03\x00\x01\x00") as server:
        one = connection(server)
        await one.open()
        with pytest.raises(ConnectionLostError, match="SUBACK"):
            await one.subscribe({"a": 0, "b": 0})
        assert (await asyncio.wait_for(one.lost(), 20)).error == "Protocol error"


async def test_a_subscribe_without_answer_ends_the_connection() -> None:
    async with ScriptedBroker(ACCEPTED) as server:
        one = connection(server, connect_timeout_seconds=0.2)
        await one.open()
        with pytest.raises(ConnectionLostError, match="Broker not responding"):
            await one.subscribe({"a": 0})
        assert not one.is_open
        await asyncio.wait_for(server.left.wait(), 20)


async def test_a_publish_without_answer_leaves_the_connection_open() -> None:
    async with ScriptedBroker(ACCEPTED) as server:
        one = connection(server, connect_timeout_seconds=0.2)
        await one.open()
        with pytest.raises(ConnectionLostError, match="did not answer in time"):
            await one.publish("a", b"", qos=1)
        assert one.is_open
        await one.close()


async def test_bad_topics_are_refused_before_they_are_sent(mosquitto: Mosquitto) -> None:
    async with opened(mosquitto) as one:
        with pytest.raises(ValueError, match="wildcards"):
            await one.publish("a/#", b"")
        with pytest.raises(ValueError, match="filter"):
            await one.subscribe({"a/#/b": 0})
        assert one.is_open


# Refused connections


@pytest.mark.parametrize(
    ("code", "details"),
    [
        (1, "Incorrect protocol version"),
        (2, "Invalid client identifier"),
        (3, "Server unavailable"),
        (4, "Bad username or password"),
        (5, "Not authorized"),
        (6, "The broker refused the connection without a known reason"),
    ],
)
@pytest.mark.parametrize("then", ["hold", "close", "reset"])
async def test_every_return_code_is_told_as_itself(code: int, details: str, then: Any) -> None:
    async with ScriptedBroker(connack(code), then=then) as server:
        found = await refusal(server)
        assert (found.error, found.details) == (f"Connection failed with code {code}", details)
        assert found.fatal == (code != 3)
        # paho would try again by itself, with another protocol version or client id.
        assert len([data for data in server.received if data]) == 1


async def test_a_wrong_password_is_refused(own_mosquitto: Callable[..., Mosquitto]) -> None:
    server = own_mosquitto(passwords={"instance": "right"})
    found = await refusal(server, username="instance", password="wrong")
    assert found.error in ("Connection failed with code 4", "Connection failed with code 5")
    assert "wrong" not in str(found)
    async with opened(server, username="instance", password="right") as one:
        assert one.is_open


@pytest.mark.parametrize(
    ("server", "error"),
    [
        (ScriptedBroker(), "No CONNACK"),
        (ScriptedBroker(then="close"), "Connection closed before CONNACK"),
        (ScriptedBroker(then="reset"), "Connection closed before CONNACK"),
        (ScriptedBroker(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "Not an MQTT broker"),
        (ScriptedBroker(unasked=b"SSH-2.0-OpenSSH_9.2\r\n"), "Not an MQTT broker"),
        (ScriptedBroker(b"\x20\x05\x00\x84\x02"), "Not an MQTT broker"),
        (ScriptedBroker(b"\x15\x03\x03\x00\x02\x02\x46", then="close"), "Port expects TLS"),
        (ScriptedBroker(ACCEPTED[:3], then="close"), "Connection closed before CONNACK"),
    ],
)
async def test_what_is_no_mqtt_broker_is_told_at_once(server: ScriptedBroker, error: str) -> None:
    async with server:
        found = await refusal(server, connect_timeout_seconds=0.3 if error == "No CONNACK" else 5)
        assert found.error == error
        assert str(server.port) in found.details


@pytest.mark.parametrize("then", ["close", "reset"])
async def test_connack_followed_by_the_end_does_not_hang(then: Any) -> None:
    async with ScriptedBroker(ACCEPTED, then=then) as server, asyncio.timeout(3):
        inbox = Inbox()
        one = connection(server, inbox)
        error = await opening_error(one)
        if error:
            assert error.refusal.error == "Connection closed before CONNACK"
            assert inbox.lost == []
        else:
            # Both reached us in two turns of the loop: it was open for a moment.
            assert (await one.lost()).error == "Connection lost"
        await one.close()


async def opening_error(one: Connection) -> ConnectRefusedError | None:
    try:
        await one.open()
    except ConnectRefusedError as error:
        return error
    return None


async def test_nobody_there_is_refused(own_mosquitto: Callable[..., Mosquitto]) -> None:
    server = own_mosquitto()
    server.kill()
    assert (await refusal(server)).error == "Connection refused"


async def test_a_name_that_is_none_is_refused(mosquitto: Mosquitto) -> None:
    assert (await refusal(mosquitto, host="a" * 64)).error == "Invalid host name"


async def test_an_unknown_name_is_refused(mosquitto: Mosquitto) -> None:
    assert (await refusal(mosquitto, host="no-such-host.invalid")).error.startswith("Host n")


async def test_the_next_address_is_tried(mosquitto: Mosquitto) -> None:
    async with opened(mosquitto, host="localhost", addresses=["127.0.0.9", "127.0.0.1"]) as one:
        assert one.broker_info["address"] == "127.0.0.1"


async def test_no_address_means_no_connection(mosquitto: Mosquitto) -> None:
    assert (await refusal(mosquitto, host="localhost", addresses=[])).error == "Connection failed"


async def test_a_connection_is_one_attempt(mosquitto: Mosquitto) -> None:
    async with opened(mosquitto) as one:
        with pytest.raises(RuntimeError, match="one attempt"):
            await one.open()


# TLS


@pytest.fixture
def secure(own_mosquitto: Callable[..., Mosquitto], tls: Certificates) -> Callable[..., Mosquitto]:
    """A Mosquitto of which `port` is the TLS listener."""

    def make(certificate: str = "server", **options: Any) -> Mosquitto:
        server = own_mosquitto(tls=getattr(tls, certificate), **options)
        server.port = server.tls_port
        return server

    return make


async def test_tls_with_a_trusted_certificate(
    secure: Callable[..., Mosquitto], tls: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tls.ca))
    server = secure()
    async with opened(server, host="localhost", use_tls=True) as one:
        assert one.broker_info == {
            "host": "localhost",
            "port": server.port,
            "tls": True,
            "certificate_verified": True,
            "protocol": "MQTT 3.1.1",
            "address": one.broker_info["address"],
            "tls_version": "TLSv1.3",
        }
        await one.subscribe({"a": 0})


async def test_messages_in_tls_records_of_their_own_are_read_many_at_a_time(
    secure: Callable[..., Mosquitto], topic: str
) -> None:
    """Or a loop with much to do takes them, and the answer behind them, at one each turn."""
    inbox, witness, turns = Inbox(), Inbox(), 0
    options: dict[str, Any] = {"host": "localhost", "use_tls": True, "verify_cert": False}
    server = secure()
    async with opened(server, inbox, **options) as one, opened(server, witness, **options) as other:
        await one.subscribe({topic: 0})
        await other.subscribe({topic: 0})
        one.pause()
        await asyncio.gather(*(other.publish(topic, b"") for _ in range(100)))
        await eventually(lambda: len(witness.messages) == 100)
        one.resume()
        while len(inbox.messages) < 100 and turns < 1_000:
            await asyncio.sleep(0)
            turns += 1
    assert len(inbox.messages) == 100
    assert turns < 10


@pytest.mark.parametrize(
    ("certificate", "error"),
    [
        ("expired", "TLS certificate expired"),
        ("wrong_host", "TLS certificate for another host"),
    ],
)
async def test_a_bad_certificate_is_told(
    secure: Callable[..., Mosquitto],
    tls: Certificates,
    monkeypatch: pytest.MonkeyPatch,
    certificate: str,
    error: str,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tls.ca))
    server = secure(certificate)
    assert (await refusal(server, host="localhost", use_tls=True)).error == error
    async with opened(server, host="localhost", use_tls=True, verify_cert=False) as one:
        assert one.is_open


async def test_an_untrusted_certificate_is_told(secure: Callable[..., Mosquitto]) -> None:
    assert (await refusal(secure(), host="localhost", use_tls=True)).error == "TLS certificate not trusted"


async def test_the_name_is_checked_whatever_address_is_dialled(
    secure: Callable[..., Mosquitto], tls: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tls.ca))
    options: dict[str, Any] = {"use_tls": True, "addresses": ["127.0.0.1"]}
    async with opened(secure("wrong_host"), host="other.example.com", **options) as one:
        assert one.is_open
    found = await refusal(secure(), host="other.example.com", **options)
    assert found.error == "TLS certificate for another host"


async def test_a_missing_client_certificate_is_told_at_once(
    secure: Callable[..., Mosquitto], tls: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tls.ca))
    server = secure(client_ca=tls.ca)
    found = await refusal(server, host="localhost", use_tls=True, connect_timeout_seconds=30)
    assert found.error == "TLS client certificate required"


async def test_a_plain_port_spoken_tls_to(mosquitto: Mosquitto) -> None:
    assert (await refusal(mosquitto, use_tls=True)).error == "Port does not speak TLS"


@pytest.mark.parametrize(
    ("server", "error"),
    [
        (ScriptedBroker(), "TLS handshake timed out"),
        (ScriptedBroker(ACCEPTED * 2), "Port does not speak TLS"),
        (ScriptedBroker(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "Port does not speak TLS"),
        (ScriptedBroker(then="close"), "Port does not speak TLS"),
        (ScriptedBroker(then="reset"), "Port does not speak TLS"),
    ],
)
async def test_tls_with_what_does_not_speak_it(server: ScriptedBroker, error: str) -> None:
    async with server:
        timeout = 0.3 if "timed out" in error else 5
        assert (await refusal(server, use_tls=True, connect_timeout_seconds=timeout)).error == error


# Nothing left behind


@pytest.mark.parametrize("use_tls", [False, True])
async def test_cancelled_while_opening_nothing_is_left(use_tls: bool) -> None:
    async with ScriptedBroker() as server:
        opening = asyncio.create_task(connection(server, use_tls=use_tls).open())
        await eventually(lambda: server.received)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        await asyncio.wait_for(server.left.wait(), 20)


async def test_timed_out_nothing_is_left() -> None:
    async with ScriptedBroker() as server:
        await refusal(server, connect_timeout_seconds=0.1)
        await asyncio.wait_for(server.left.wait(), 20)


async def test_cancelled_while_closing_nothing_is_left() -> None:
    async with ScriptedBroker(ACCEPTED, then="stay") as server:
        one = connection(server)
        await one.open()
        closing = asyncio.create_task(one.close())
        await eventually(lambda: len(server.received) == 2)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        await asyncio.wait_for(server.left.wait(), 20)


async def test_close_says_goodbye_and_may_be_called_again() -> None:
    async with ScriptedBroker(ACCEPTED, then="hold") as server:
        one = connection(server)
        await one.open()
        waiting = asyncio.create_task(one.lost())
        await one.close()
        await one.close()
        assert server.received[1:] == [b"\xe0\x00", b""]
        assert not one.is_open
        with pytest.raises(ConnectionLostError, match="closed"):
            await one.publish("a", b"")
        assert not waiting.done()
        waiting.cancel()


async def test_close_before_open_and_after_a_refusal() -> None:
    async with ScriptedBroker(connack(5)) as server:
        one = connection(server)
        with pytest.raises(ConnectRefusedError):
            await one.open()
        await one.close()
        await connection(server).close()


async def test_closed_while_opening_it_is_over_at_once() -> None:
    async with ScriptedBroker() as server:
        one = connection(server, connect_timeout_seconds=30)
        opening = asyncio.create_task(one.open())
        await eventually(lambda: server.received)
        await one.close()
        with pytest.raises(ConnectRefusedError):
            await asyncio.wait_for(opening, 20)
        await asyncio.wait_for(server.left.wait(), 20)


async def test_closed_before_it_reaches_the_broker() -> None:
    async with ScriptedBroker() as server:
        one = connection(server)
        opening = asyncio.create_task(one.open())
        await asyncio.sleep(0)
        await one.close()
        with pytest.raises(ConnectRefusedError):
            await asyncio.wait_for(opening, 20)


# Loss


async def test_a_dead_broker_is_noticed_and_ends_every_call(own_mosquitto: Callable[..., Mosquitto]) -> None:
    server, inbox = own_mosquitto(), Inbox()
    one = connection(server, inbox, connect_timeout_seconds=30)
    await one.open()
    server.freeze()
    calls = [
        asyncio.create_task(one.publish("a", b"", qos=1)),
        asyncio.create_task(one.unsubscribe(["a"])),
        asyncio.create_task(one.lost()),
    ]
    await asyncio.sleep(0)
    server.kill()
    done, _ = await asyncio.wait(calls, timeout=5)
    assert len(done) == 3
    assert isinstance(calls[0].exception(), ConnectionLostError)
    assert isinstance(calls[1].exception(), ConnectionLostError)
    await eventually(lambda: inbox.lost)
    assert [found.error for found in inbox.lost] == ["Connection lost"]
    assert not one.is_open
    with pytest.raises(ConnectionLostError, match="Connection lost"):
        await one.subscribe({"a": 0})
    await one.close()
    assert len(inbox.lost) == 1


async def test_another_client_of_the_same_id_takes_over(mosquitto: Mosquitto) -> None:
    inbox, client_id = Inbox(), f"t{secrets.token_hex(6)}"
    async with opened(mosquitto, inbox, client_id=client_id), opened(mosquitto, client_id=client_id) as two:
        await eventually(lambda: inbox.lost)
        assert "same client id" in inbox.lost[0].details
        assert two.is_open


async def test_a_half_open_connection_is_noticed() -> None:
    async with ScriptedBroker(ACCEPTED) as server:
        one = connection(server, keep_alive=3)
        await one.open()
        assert (await asyncio.wait_for(one.lost(), 2 * 3)).error == "Broker not responding"
        await eventually(server.left.is_set)
        assert server.received[1:] == [b"\xc0\x00", b""]
        await one.close()


async def test_what_is_no_mqtt_ends_the_connection() -> None:
    async with ScriptedBroker(ACCEPTED, b"\xf7\x02\x00\x00") as server:
        one = connection(server)
        await one.open()
        with pytest.raises(ConnectionLostError):
            await one.subscribe({"a": 0})
        assert (await asyncio.wait_for(one.lost(), 20)).error == "Protocol error"


async def test_a_handler_that_raises_ends_the_connection_loudly(mosquitto: Mosquitto, topic: str) -> None:
    told: list[dict[str, Any]] = []

    def handler(_: Message) -> None:
        raise ValueError("a fault in the handler")

    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: told.append(context))
    try:
        one = connection(mosquitto, on_message=handler)
        await one.open()
        await one.subscribe({topic: 1})
        with contextlib.suppress(ConnectionLostError):
            await one.publish(topic, b"", qos=1)
        assert "ValueError" in (await asyncio.wait_for(one.lost(), 20)).details
    finally:
        loop.set_exception_handler(None)
    assert [str(context["exception"]) for context in told] == ["a fault in the handler"]
    await one.close()


# Back-pressure


async def test_paused_nothing_is_read_and_nothing_is_lost(mosquitto: Mosquitto, topic: str) -> None:
    inbox, keep_alive = Inbox(), 1

    def take(message: Message) -> None:
        inbox.messages.append(message)
        if len(inbox.messages) == 1:
            one.pause()

    one = connection(mosquitto, keep_alive=keep_alive, on_message=take)
    await one.open()
    await one.subscribe({topic: 0})
    async with opened(mosquitto) as other:
        await asyncio.gather(*(other.publish(topic, b"") for _ in range(100)))
        # Longer than a broker waits for a sign of life, and than we do for an answer.
        loop = asyncio.get_running_loop()
        until = loop.time() + 3 * keep_alive
        while loop.time() < until:
            await asyncio.sleep(0.1)
            assert len(inbox.messages) == 1
        assert one.is_open
        one.resume()
        await eventually(lambda: len(inbox.messages) == 100)
        assert one.is_open
    await one.close()
