"""An instance follows its configuration: each change with the smallest effect, nothing lost."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from msgspec import structs

from mqtt_shared.messages import Broker as BrokerSettings
from mqtt_shared.messages import CommandReply, Reconnect, Subscription, Topics, decode, encode
from mqtt_shared.sealing import key_id
from product_instance import Event, ProductInstance
from tests.support.waiting import eventually

from .conftest import Control, applied, publisher, received, rejected, with_actions

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping
    from pathlib import Path

    from mqtt_shared.mqtt import Connection
    from tests.support.servers import Broker


def at(mosquitto: Broker, **changes: Any) -> BrokerSettings:
    return BrokerSettings(host="127.0.0.1", port=mosquitto.port, **changes)


def sub(subscription_id: int, topic: str, **fields: Any) -> Subscription:
    return Subscription(id=subscription_id, name=f"s{subscription_id}", topic=topic, **fields)


@asynccontextmanager
async def load(connection: Connection, topic: str, qos: int = 1) -> AsyncGenerator[list[int]]:
    """Publish numbered messages as fast as they are acknowledged, as long as the block lasts."""
    sent = list[int]()
    over = asyncio.Event()

    async def publish() -> None:
        while not over.is_set():
            await connection.publish(topic, str(len(sent)).encode(), qos=qos)
            sent.append(len(sent))
            await asyncio.sleep(0.001)

    task = asyncio.create_task(publish())
    try:
        yield sent
    finally:
        over.set()
        await task


def collect(instance: ProductInstance) -> list[int]:
    """The numbers in the messages that the action `collect` sees."""
    seen = list[int]()

    @instance.action("collect")
    async def run(event: Event, _action: Mapping[str, Any]) -> None:
        seen.append(event.payload)

    return seen


COLLECT = {"type": "collect"}


async def test_a_snapshot_makes_it_connect_subscribe_count_and_report(
    control: Control, mosquitto: Broker, topic: str, tmp_path: Path
) -> None:
    async with (
        ProductInstance(control.settings(tmp_path, instance_id="one")) as instance,
        publisher("127.0.0.1", mosquitto.port) as mqtt,
    ):
        sent = await control.put(control.snapshot(at(mosquitto), sub(1, f"{topic}/+"), sub(2, f"{topic}/b")))
        await applied(instance, sent.revision)
        for name in "ab":
            await mqtt.publish(f"{topic}/{name}", b"{}", qos=1)

        def told() -> bool:
            assert control.heartbeats
            last = control.heartbeats[-1]
            counts = {key: value.messages_received for key, value in last.counters.items()}
            assert counts == {"1": 2, "2": 1}
            return True

        await eventually(told)
    await eventually(lambda: control.heartbeats[-1].stopping)
    heartbeat = control.heartbeats[-2]
    assert heartbeat.connected
    assert heartbeat.connected_since
    assert heartbeat.connection_error is None
    assert heartbeat.instance_id == "one"
    assert heartbeat.applied_revision == sent.revision
    assert heartbeat.applied_digest
    assert heartbeat.key_id == key_id(control.key)
    assert {"mqtt_publish", "nats_publish", "healthcheck_response"} <= set(heartbeat.action_types)
    assert heartbeat.subscribed_topics_count == 2
    assert heartbeat.counters["1"].last_message_at
    assert heartbeat.latency
    assert heartbeat.latency.counts[-1] == 2
    assert heartbeat.client_id
    assert heartbeat.client_id.startswith("7-one-")
    assert heartbeat.broker_info
    assert heartbeat.version
    assert heartbeat.host
    seqs = [each.seq for each in control.heartbeats]
    assert seqs == list(range(1, len(seqs) + 1))


async def test_subscriptions_change_on_the_live_connection_and_others_lose_nothing(
    control: Control, mosquitto: Broker, topic: str, tmp_path: Path
) -> None:
    untouched = with_actions(sub(1, f"{topic}/load"), COLLECT)
    instance = ProductInstance(control.settings(tmp_path))
    seen = collect(instance)
    async with instance, publisher("127.0.0.1", mosquitto.port) as mqtt:

        async def follows(*others: Subscription, qos: int = 1) -> None:
            topics = Topics(use_shared=False, shared_group=None, qos=qos)
            sent = await control.put(control.snapshot(at(mosquitto), untouched, *others, topics=topics))
            await applied(instance, sent.revision)

        await follows()
        connection = instance.heartbeat().client_id
        async with load(mqtt, f"{topic}/load") as numbers:
            await follows(sub(2, f"{topic}/x"))
            await mqtt.publish(f"{topic}/x", b"", qos=1)
            await eventually(lambda: received(instance, 2) == 1)
            await follows(sub(2, f"{topic}/y"))
            await mqtt.publish(f"{topic}/x", b"", qos=1)
            await mqtt.publish(f"{topic}/y", b"", qos=1)
            await eventually(lambda: received(instance, 2) == 2)
            await follows(sub(2, f"{topic}/y", enabled=False))
            await mqtt.publish(f"{topic}/y", b"", qos=1)
            await follows(sub(2, f"{topic}/y"), qos=2)
            await mqtt.publish(f"{topic}/y", b"", qos=2)
            await eventually(lambda: received(instance, 2) == 3)
            await follows()
        await eventually(lambda: received(instance) == len(numbers))
        assert seen == numbers
        assert instance.heartbeat().client_id == connection


async def test_actions_change_in_memory(
    control: Control, mosquitto: Broker, topic: str, tmp_path: Path
) -> None:
    instance = ProductInstance(control.settings(tmp_path))
    seen = collect(instance)
    async with instance, publisher("127.0.0.1", mosquitto.port) as mqtt:
        await control.put(control.snapshot(at(mosquitto), sub(1, f"{topic}/a")))
        await applied(instance, 1)
        connected_since = instance.heartbeat().connected_since
        await mqtt.publish(f"{topic}/a", b"1", qos=1)
        await eventually(lambda: received(instance) == 1)
        await control.put(control.snapshot(at(mosquitto), with_actions(sub(1, f"{topic}/a"), COLLECT)))
        await applied(instance, 2)
        await mqtt.publish(f"{topic}/a", b"2", qos=1)
        await eventually(lambda: received(instance) == 2)
        assert seen == [2]
        assert instance.heartbeat().connected_since == connected_since
        assert instance.heartbeat().counters["1"].actions_executed == 1


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"keep_alive": 30}),
        ({"client_id": "fixed-{instance_id}"}, {"client_id": "fixed-{instance_id}", "keep_alive": 30}),
        ({"clean_session": False}, {"clean_session": False, "keep_alive": 30}),
        ({"clean_session": False}, {"clean_session": True}),
        ({"client_id": "own-{instance_id}"}, {"client_id": "own-{instance_id}", "clean_session": False}),
    ],
    ids=["generated", "fixed", "persistent", "to-clean", "to-persistent"],
)
@pytest.mark.parametrize("shared", [False, True], ids=["plain", "share"])
async def test_a_new_connection_loses_nothing(
    before: dict[str, Any],
    after: dict[str, Any],
    shared: bool,
    control: Control,
    mosquitto: Broker,
    topic: str,
    tmp_path: Path,
) -> None:
    topics = Topics(use_shared=shared, shared_group="bre")
    subscription = with_actions(sub(1, f"{topic}/load"), COLLECT)
    instance = ProductInstance(control.settings(tmp_path, instance_id=topic))
    seen = collect(instance)
    async with instance, publisher("127.0.0.1", mosquitto.port) as mqtt:
        await control.put(control.snapshot(at(mosquitto, **before), subscription, topics=topics))
        await applied(instance, 1)
        async with load(mqtt, f"{topic}/load") as numbers:
            for settings in (after, before, after):
                done = len(numbers)
                await eventually(lambda at=done: len(numbers) > at + 20)
                sent = await control.put(
                    control.snapshot(at(mosquitto, **settings), subscription, topics=topics)
                )
                await applied(instance, sent.revision)
        await eventually(lambda: set(seen) == set(numbers))
        if shared:
            # No member of the group gets what another one had.
            assert sorted(seen) == numbers


async def test_the_reconnect_command_makes_a_new_connection(
    control: Control, mosquitto: Broker, topic: str, tmp_path: Path
) -> None:
    instance = ProductInstance(control.settings(tmp_path, instance_id="one"))
    async with instance, publisher("127.0.0.1", mosquitto.port) as mqtt:
        await control.put(control.snapshot(None))
        await applied(instance, 1)
        reply = decode(await control.command(encode(Reconnect())), CommandReply)
        assert not reply.accepted
        assert reply.error
        await control.put(control.snapshot(at(mosquitto), sub(1, f"{topic}/a")))
        await applied(instance, 2)
        before = instance.heartbeat().client_id
        reply = decode(await control.command(encode(Reconnect(request_id="r"))), CommandReply)
        assert reply == CommandReply(instance_id="one", accepted=True)
        await eventually(lambda: instance.heartbeat().client_id != before)
        await mqtt.publish(f"{topic}/a", b"", qos=1)
        await eventually(lambda: received(instance) == 1)
        assert instance.heartbeat().connected
        # A command for another instance is neither carried out nor answered.
        before = instance.heartbeat().client_id
        commands = instance._commands  # pyright: ignore[reportPrivateUsage] - who does not answer cannot be asked
        assert commands._answer(encode(Reconnect(instance_id="two"))) is None  # pyright: ignore[reportPrivateUsage] - the same
        assert instance.heartbeat().client_id == before
        reply = decode(await control.command(encode(Reconnect(instance_id="one"))), CommandReply)
        assert reply.accepted
        await eventually(lambda: instance.heartbeat().client_id != before)
        before = instance.heartbeat().client_id
        for unknown in (b'{"command": "dance"}', b'{"type": "dance"}', b"{}", b"reconnect"):
            reply = decode(await control.command(unknown), CommandReply)
            assert not reply.accepted
            assert reply.error
        assert instance.heartbeat().client_id == before


async def test_a_snapshot_without_broker_stops_it_and_a_deleted_key_does_not(
    control: Control, mosquitto: Broker, topic: str, tmp_path: Path
) -> None:
    async with (
        ProductInstance(control.settings(tmp_path, config_refresh_seconds=0.1)) as instance,
        publisher("127.0.0.1", mosquitto.port) as mqtt,
    ):
        await control.put(control.snapshot(at(mosquitto), sub(1, f"{topic}/a")))
        await applied(instance, 1)
        await control.delete()
        await control.put_raw(b"")
        await mqtt.publish(f"{topic}/a", b"", qos=1)
        await eventually(lambda: received(instance) == 1)
        await control.put(control.snapshot(None))
        await applied(instance, 2)
        await eventually(lambda: not instance.heartbeat().connected)
        told = instance.heartbeat()
        assert (told.subscribed_topics_count, told.connection_error) == (0, None)
        await control.put(control.snapshot(at(mosquitto), sub(1, f"{topic}/a")))
        await applied(instance, 3)


async def test_two_instances_of_a_group_share_the_messages(
    control: Control, mosquitto: Broker, topic: str, folder: Callable[[str], Path]
) -> None:
    one = ProductInstance(control.settings(folder("one")))
    two = ProductInstance(control.settings(folder("two")))
    assert one.instance_id != two.instance_id
    async with one, two, publisher("127.0.0.1", mosquitto.port) as mqtt:
        topics = Topics(use_shared=True, shared_group="bre")
        await control.put(control.snapshot(at(mosquitto), sub(1, f"/{topic}/a"), topics=topics))
        await applied(one, 1)
        await applied(two, 1)
        for _ in range(100):
            await mqtt.publish(f"/{topic}/a", b"", qos=1)
        await eventually(lambda: received(one) + received(two) == 100)
        assert min(received(one), received(two)) > 10


async def test_variables_come_from_the_product_then_from_the_environment(
    control: Control, mosquitto: Broker, topic: str, tmp_path: Path
) -> None:
    instance = ProductInstance(
        control.settings(tmp_path, application_id="app"),
        environment={"SITE": "north", "FLOOR": "1", "PRODUCT_KEY": "hidden"},
    )
    async with instance, publisher("127.0.0.1", mosquitto.port) as mqtt:
        template = f"{topic}/{{application_id}}/{{site}}/{{floor}}"
        await control.put(control.snapshot(at(mosquitto), sub(1, template), variables={"floor": "2"}))
        await applied(instance, 1)
        await mqtt.publish(f"{topic}/app/north/2", b"", qos=1)
        await eventually(lambda: received(instance) == 1)
        await control.put(control.snapshot(at(mosquitto), sub(1, f"{topic}/{{product_key}}")))
        await rejected(instance, "s1", "{product_key}")


async def test_actions_run_and_are_counted_before_the_ack(
    control: Control, mosquitto: Broker, topic: str, tmp_path: Path
) -> None:
    instance = ProductInstance(control.settings(tmp_path))
    seen = list[object]()

    @instance.action("sync")
    def run(event: Event, action: Mapping[str, Any]) -> None:
        seen.append((event.payload, action["config"]))

    @instance.action("broken")
    async def fail(_event: Event, _action: Mapping[str, Any]) -> None:
        raise RuntimeError("broken")

    actions: list[dict[str, Any]] = [
        {"type": "broken", "retries": 0},
        {"type": "nobody_has_this"},
        {"type": "sync", "config": {"a": 1}, "conditions": {"device.id": ["x", "y"]}},
        {"type": "sync", "conditions": {"device.id": "z"}},
        {"type": "mqtt_publish", "config": {"topic": f"{topic}/out", "payload": "{{ payload.device.id }}"}},
        {"type": "nats_publish", "config": {"subject": f"{topic}.out"}},
        {"type": "healthcheck_response"},
    ]
    async with instance, publisher("127.0.0.1", mosquitto.port) as mqtt:
        watched = [sub(2, f"{topic}/out"), sub(3, f"{topic}/in/response")]
        await control.put(
            control.snapshot(at(mosquitto), with_actions(sub(1, f"{topic}/in"), *actions), *watched)
        )
        await applied(instance, 1)
        await mqtt.publish(f"{topic}/in", json.dumps({"device": {"id": "x"}}).encode(), qos=1)
        await eventually(lambda: received(instance) == 1)
        counters = instance.heartbeat().counters["1"]
        assert (counters.actions_executed, counters.actions_failed) == (4, 2)
        assert seen == [({"device": {"id": "x"}}, {"a": 1})]
        await eventually(lambda: received(instance, 2) == 1 and received(instance, 3) == 1)


async def test_the_same_revision_with_another_digest_is_applied_and_visible(
    control: Control, mosquitto: Broker, topic: str, tmp_path: Path
) -> None:
    async with ProductInstance(control.settings(tmp_path)) as instance:
        sent = await control.put(control.snapshot(at(mosquitto), sub(1, f"{topic}/a")))
        await applied(instance, 1)
        digest = instance.heartbeat().applied_digest
        await control.put(structs.replace(sent, subscriptions=[]))
        await eventually(lambda: instance.heartbeat().applied_digest != digest)
        assert instance.heartbeat().applied_revision == 1
        assert instance.heartbeat().subscribed_topics_count == 0


@pytest.mark.parametrize("shared", [False, True], ids=["plain", "share"])
async def test_overlapping_filters_count_and_run_a_message_once(
    shared: bool, control: Control, mosquitto: Broker, topic: str, folder: Callable[[str], Path]
) -> None:
    one, two = (
        ProductInstance(control.settings(folder("one"))),
        ProductInstance(control.settings(folder("two"))),
    )
    instances = (one, two) if shared else (one,)
    async with one, two, publisher("127.0.0.1", mosquitto.port) as mqtt:
        topics = Topics(use_shared=shared, shared_group="bre")
        subscriptions = [sub(1, f"{topic}/#"), sub(2, f"{topic}/+"), sub(3, f"{topic}/a")]
        await control.put(control.snapshot(at(mosquitto), *subscriptions, topics=topics))
        await applied(one, 1)
        await applied(two, 1)
        for _ in range(20):
            await mqtt.publish(f"{topic}/a", b"", qos=1)
            await mqtt.publish(f"{topic}/a/b", b"", qos=1)
        await eventually(lambda: sum(received(each, 1) for each in instances) == 40)
        for number, expected in ((1, 40), (2, 20), (3, 20)):
            assert sum(received(each, number) for each in instances) == expected


async def test_several_products_in_one_process_keep_apart(
    control: Control, mosquitto: Broker, topic: str, folder: Callable[[str], Path]
) -> None:
    one = ProductInstance(control.settings(folder("one")))
    other = ProductInstance(control.settings(folder("other"), product_id=8, config_wait_seconds=30))
    seen, nothing = collect(one), collect(other)
    async with one, other, publisher("127.0.0.1", mosquitto.port) as mqtt:
        await control.put(control.snapshot(at(mosquitto), with_actions(sub(1, f"{topic}/a"), COLLECT)))
        await applied(one, 1)
        await mqtt.publish(f"{topic}/a", b"1", qos=1)
        await eventually(lambda: seen == [1])
        assert nothing == []
        assert other.heartbeat().counters == {}
        assert other.heartbeat().product_id == 8
