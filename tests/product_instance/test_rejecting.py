"""A bad configuration never takes a working instance down, and the heartbeat says what is wrong with it."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from msgspec import structs

from deploy.local import kept
from mqtt_shared.messages import Broker as BrokerSettings
from mqtt_shared.messages import Subscription, encode
from mqtt_shared.sealing import Secrets, new_key, seal_snapshot
from product_instance import ProductInstance
from tests.support.proxy import TcpProxy
from tests.support.waiting import eventually

from .conftest import PRODUCT, Control, applied, publisher, received, rejected

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable
    from pathlib import Path

    from mqtt_shared.mqtt import Connection
    from tests.support.servers import Broker


def sub(topic: str) -> Subscription:
    return Subscription(id=1, name="s1", topic=topic)


class Working:
    """An instance at work on revision 1, and a publisher to prove it."""

    def __init__(
        self,
        instance: ProductInstance,
        control: Control,
        mqtt: Connection,
        broker: BrokerSettings,
        topic: str,
    ) -> None:
        self.instance, self.control, self.mqtt = instance, control, mqtt
        self.broker, self.topic = broker, topic

    async def still_works(self) -> None:
        before = received(self.instance)
        await self.mqtt.publish(self.topic, b"", qos=1)
        await eventually(lambda: received(self.instance) == before + 1)
        told = self.instance.heartbeat()
        assert (told.connected, told.applied_revision, told.connection_error) == (True, 1, None)

    async def recovers(self) -> None:
        sent = await self.control.put(self.control.snapshot(self.broker, sub(self.topic)))
        await applied(self.instance, sent.revision)
        assert self.instance.heartbeat().rejected is None


@asynccontextmanager
async def started(
    control: Control, mosquitto: Broker, topic: str, state_dir: Path, **changes: Any
) -> AsyncGenerator[Working]:
    broker = BrokerSettings(host="127.0.0.1", port=mosquitto.port)
    settings = control.settings(state_dir, **changes)
    async with ProductInstance(settings) as instance, publisher("127.0.0.1", mosquitto.port) as mqtt:
        await control.put(control.snapshot(broker, sub(f"{topic}/a")))
        await applied(instance, 1)
        yield Working(instance, control, mqtt, broker, f"{topic}/a")


@pytest.fixture
async def working(control: Control, mosquitto: Broker, topic: str, tmp_path: Path) -> AsyncIterator[Working]:
    async with started(control, mosquitto, topic, tmp_path) as working:
        yield working


async def test_nobody_listens(working: Working) -> None:
    control, port = working.control, kept.free_port()
    await control.put(control.snapshot(structs.replace(working.broker, port=port), sub(working.topic)))
    told = await rejected(working.instance, "refused")
    assert told.rejected
    assert told.rejected.revision == 2
    await working.still_works()
    await eventually(lambda: control.heartbeats[-1].rejected == told.rejected)
    await working.recovers()


async def test_the_broker_says_no_and_later_yes(
    working: Working, own_mosquitto: Callable[..., Broker]
) -> None:
    control = working.control
    strict = own_mosquitto(passwords={"user": "right"})
    broker = structs.replace(working.broker, port=strict.port, username="user")
    await control.put(control.snapshot(broker, sub(working.topic)), password="wrong")
    told = await rejected(working.instance, "code")
    assert told.rejected
    assert "wrong" not in told.rejected.error
    await working.still_works()
    sent = await control.put(control.snapshot(broker, sub(working.topic)), password="right")
    await applied(working.instance, sent.revision)


async def test_it_tries_again_by_itself(working: Working, own_mosquitto: Callable[..., Broker]) -> None:
    control, other = working.control, own_mosquitto()
    other.stop()
    sent = await control.put(
        control.snapshot(structs.replace(working.broker, port=other.port), sub(working.topic))
    )
    await rejected(working.instance, "refused")
    other.start()
    await applied(working.instance, sent.revision)
    assert working.instance.heartbeat().rejected is None


async def test_a_broker_that_never_answers_gives_way_to_a_newer_revision(
    control: Control, mosquitto: Broker, topic: str, tmp_path: Path
) -> None:
    async with (
        started(control, mosquitto, topic, tmp_path, connect_timeout_seconds=120) as working,
        TcpProxy("127.0.0.1", mosquitto.port) as proxy,
    ):
        proxy.stall()
        await control.put(
            control.snapshot(structs.replace(working.broker, port=proxy.port), sub(working.topic))
        )
        await eventually(lambda: proxy.accepted)
        await working.still_works()
        sent = await control.put(control.snapshot(working.broker, sub(working.topic)))
        # Well before the attempt would have timed out.
        await applied(working.instance, sent.revision)
        proxy.resume()


async def test_an_unknown_variable(working: Working) -> None:
    control = working.control
    await control.put(control.snapshot(working.broker, sub("a/{nobody_knows}")))
    await rejected(working.instance, "s1", "{nobody_knows}")
    await working.still_works()
    broker = structs.replace(working.broker, client_id="x-{nobody_knows}")
    await control.put(control.snapshot(broker, sub(working.topic)))
    await rejected(working.instance, "client id", "{nobody_knows}")
    await working.still_works()
    await working.recovers()


async def test_another_key(working: Working) -> None:
    control = working.control
    await control.put(control.snapshot(working.broker), key=new_key())
    await rejected(working.instance, "does not open with this product key")
    await working.still_works()
    await working.recovers()


def altered(raw: bytes, **fields: Any) -> bytes:
    return json.dumps(json.loads(raw) | fields).encode()


async def test_tampering_and_replay(working: Working) -> None:
    control = working.control
    good = seal_snapshot(control.snapshot(working.broker, sub(working.topic)), Secrets(), control.key)
    elsewhere = json.loads(good)["broker"] | {"host": "elsewhere.example.com"}
    foreign = structs.replace(control.snapshot(working.broker), product_id=PRODUCT + 1)
    for raw, words in [
        (altered(good, broker=elsewhere), "altered"),
        (altered(good, revision=2**62), "another product or revision"),
        (altered(good, product_id=PRODUCT + 1), f"for product {PRODUCT + 1}"),
        (seal_snapshot(foreign, Secrets(), control.key), f"for product {PRODUCT + 1}"),
        (altered(good, sealed=""), "does not open"),
        (b'{"revision": 9}', "cannot be read"),
        (b"\xff", "cannot be read"),
    ]:
        await control.put_raw(raw)
        await rejected(working.instance, words)
        await working.still_works()
    # The huge revision of the forgery blocks nothing.
    await working.recovers()


async def test_an_older_revision_is_ignored(working: Working) -> None:
    control = working.control
    old = seal_snapshot(control.snapshot(working.broker), Secrets(), control.key)
    await working.recovers()
    applied_digest = working.instance.heartbeat().applied_digest
    await control.put_raw(old)
    await control.command(b"{}")  # comes after the snapshot on the same connection
    told = working.instance.heartbeat()
    assert (told.applied_revision, told.applied_digest, told.rejected) == (3, applied_digest, None)


async def test_no_key_at_all(control: Control, mosquitto: Broker, topic: str, tmp_path: Path) -> None:
    settings = control.settings(tmp_path, product_key=None)
    async with ProductInstance(settings) as instance:
        broker = BrokerSettings(host="127.0.0.1", port=mosquitto.port)
        await control.put(control.snapshot(broker, sub(topic)))
        await rejected(instance, "PRODUCT_KEY")
        await control.put_raw(encode(control.snapshot(broker, sub(topic))))
        await applied(instance, 2)
        assert instance.heartbeat().key_id is None


@pytest.mark.parametrize("persistent", [False, True])
async def test_a_refused_subscription(
    persistent: bool, control: Control, nats_mqtt: tuple[str, int], topic: str, tmp_path: Path
) -> None:
    host, port = nats_mqtt
    broker = BrokerSettings(host=host, port=port, clean_session=not persistent)
    async with (
        ProductInstance(control.settings(tmp_path)) as instance,
        publisher(host, port) as mqtt,
    ):
        await control.put(control.snapshot(broker, sub(f"{topic}/a")))
        await applied(instance, 1)
        # A NATS server refuses filters that it cannot turn into a subject.
        refused = Subscription(id=2, name="s2", topic=f"{topic}/with space")
        granted = Subscription(id=3, name="s3", topic=f"{topic}/c")
        await control.put(control.snapshot(broker, sub(f"{topic}/a"), refused, granted))
        await rejected(instance, "refused", "with space")
        await mqtt.publish(f"{topic}/c", b"", qos=1)
        await mqtt.publish(f"{topic}/a", b"", qos=1)
        await eventually(lambda: received(instance) == 1)
        told = instance.heartbeat()
        assert (told.connected, told.applied_revision, told.subscribed_topics_count) == (True, 1, 1)
        assert received(instance, 3) == 0
        await control.put(
            control.snapshot(structs.replace(broker, keep_alive=30), sub(f"{topic}/a"), refused)
        )
        await eventually(lambda: (r := instance.heartbeat().rejected) and r.revision == 3)
        await eventually(lambda: instance.heartbeat().connected)
        await mqtt.publish(f"{topic}/a", b"", qos=1)
        await eventually(lambda: received(instance) == 2)


async def test_a_switch_that_fails_half_way_goes_on_consuming(
    control: Control, mosquitto: Broker, topic: str, tmp_path: Path
) -> None:
    async with (
        TcpProxy("127.0.0.1", mosquitto.port) as proxy,
        ProductInstance(control.settings(tmp_path)) as instance,
        publisher("127.0.0.1", mosquitto.port) as mqtt,
    ):
        broker = BrokerSettings(host="127.0.0.1", port=proxy.port, client_id=f"own-{topic}")
        await control.put(control.snapshot(broker, sub(f"{topic}/a")))
        await applied(instance, 1)
        sent = await control.put(control.snapshot(structs.replace(broker, keep_alive=30), sub(f"{topic}/a")))
        # The bridge gets in, and then nobody for a while: neither the new connection nor the old one again.
        await eventually(lambda: proxy.accepted == 2, every=0)
        proxy.refuse()
        await rejected(instance, "refused")
        await mqtt.publish(f"{topic}/a", b"", qos=1)
        await eventually(lambda: received(instance) == 1)
        told = instance.heartbeat()
        assert (told.connected, told.applied_revision) == (True, 1)
        await proxy.accept()
        await applied(instance, sent.revision)
        assert instance.heartbeat().client_id == f"own-{topic}"
        await mqtt.publish(f"{topic}/a", b"", qos=1)
        # Twice, when the broker has not read yet that the stand-in unsubscribes.
        await eventually(lambda: received(instance) >= 2)
