"""The whole collector on real servers, in this process."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import asyncpg
import pytest
from msgspec import structs

from mqtt_shared.messages import Counters, StatusChanged, decode, encode
from mqtt_shared.subjects import Subjects
from tests.support.processes import http_status, request
from tests.support.waiting import eventually

from .support import EPOCH, Database, Fleet, heartbeat, send

if TYPE_CHECKING:
    from nats.aio.client import Client

    from status_collector.app import Collector

    from .conftest import Collectors


def metric(running: Collector, name: str, **labels: str) -> float:
    return running.metrics.registry.get_sample_value(f"status_collector_{name}", labels) or 0


async def ready(running: Collector) -> None:
    await eventually(lambda: not running.down())


async def test_a_heartbeat_becomes_status_instance_and_totals(
    collectors: Collectors, database: Database, client: Client, nats_root: str
) -> None:
    product, (first, second) = await database.product("lamps")
    told: asyncio.Queue[StatusChanged] = asyncio.Queue()

    async def tell(message: Any) -> None:
        await told.put(decode(message.data, StatusChanged))

    await cast("Any", client).subscribe(Subjects(nats_root).status("*"), cb=tell)
    await client.flush()
    async with collectors() as running:
        await ready(running)
        beat = heartbeat(
            {first: 3, second: 4}, product_id=product, applied_revision=7, action_types=["a", "b"]
        )
        await send(client, nats_root, beat)
        changed = await asyncio.wait_for(told.get(), 20)
        assert await database.totals(product) == {first: 3, second: 4}
        instance = await database.instance(product)
    assert changed.product_id == product
    assert changed.instances_changed == 1
    assert changed.status.connected
    assert changed.status.messages_received == 7
    assert changed.status.last_message_at == EPOCH + timedelta(seconds=4)
    assert changed.status.subscribed_topics_count == 2
    assert changed.status.client_id == "client-1"
    assert changed.status.broker_info == {"host": "broker.example.com"}
    assert (instance["state"], instance["applied_revision"], instance["messages_received"]) == ("live", 7, 7)
    assert instance["action_types"] == ["a", "b"]


async def test_what_finds_no_room_waits_in_the_stream(
    collectors: Collectors,
    database: Database,
    client: Client,
    nats_root: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    product, (first,) = await database.product("lamps", 1)
    monkeypatch.setattr("status_collector.app.MAX_UNACKNOWLEDGED", 1)
    async with collectors(flush_interval_seconds=1, redelivery_seconds=300) as running:
        await ready(running)
        for instance in ("i1", "i2", "i3"):
            await send(client, nats_root, heartbeat({first: 1}, product_id=product, instance_id=instance))
        await eventually(lambda: metric(running, "heartbeats_received_total") == 1)
        assert metric(running, "boots_waiting") == 1
        await eventually(lambda: metric(running, "heartbeats_merged_total") == 3, 30)
        assert metric(running, "heartbeats_received_total") == 3, "each is delivered once"
        assert await database.totals(product) == {first: 3}


async def test_totals_equal_the_reference_with_two_collectors_and_restarts(
    collectors: Collectors, database: Database, client: Client, nats_root: str
) -> None:
    product, subscriptions = await database.product("lamps", 3)
    fleet = Fleet(product, subscriptions, size=20, seed=1)
    async with collectors() as one, collectors() as two:
        await ready(one)
        await ready(two)
        for _ in range(30):
            for beat in fleet.step():
                await send(client, nats_root, beat)
            await client.flush()
        for beat in fleet.last():
            await send(client, nats_root, beat)

        async def all_counted() -> bool:
            return await database.totals(product) == fleet.totals()

        await eventually(all_counted)
        assert await database.received(product) == sum(fleet.totals().values())
        rows = await database.connection.fetchval("select sum(messages_received) from mqtt_instances")
        assert rows == sum(fleet.totals().values())
        assert metric(one, "heartbeats_received_total") > 0
        assert metric(two, "heartbeats_received_total") > 0
        for running in (one, two):
            counted = metric(running, "heartbeats_merged_total") + metric(running, "heartbeats_folded_total")
            assert metric(running, "heartbeats_received_total") == counted
            # A flush may give way to the other collector's lock; it succeeds then.
            await ready(running)
        messages = metric(one, "messages_counted_total") + metric(two, "messages_counted_total")
        assert messages == sum(fleet.totals().values())


async def test_what_cannot_be_counted_is_dropped_with_a_reason_and_stops_nothing(
    collectors: Collectors, database: Database, client: Client, nats_root: str
) -> None:
    product, (first, second) = await database.product("lamps")
    other, (foreign, _) = await database.product("doors")
    subjects = Subjects(nats_root)
    good = heartbeat({first: 3}, product_id=product)
    nul = encode(structs.replace(good, broker_info={"x": {"y": ["\0"]}}))
    far = encode(good).replace(b'"2026-01-01T00:00:00Z"', b'"0001-01-01T00:00:00+05:00"', 1)
    assert far != encode(good)
    malformed = [
        b"",
        b"{",
        b"\xff\xfe",
        b"[" * 100_000,
        nul,
        far,
        encode(structs.replace(good, host="\0")),
        encode(structs.replace(good, counters={"x": Counters()})),
        encode(structs.replace(good, counters={"07": Counters()})),
        encode(structs.replace(good, counters={"1": Counters(messages_received=2**60)})),
        json.dumps({**json.loads(encode(good)), "seq": 10**30}).encode(),
        encode(structs.replace(good, broker_info={"x": "y" * 20_000})),
    ]
    async with collectors(redelivery_seconds=300) as running:
        await ready(running)
        for number, data in enumerate(malformed):
            named = data.replace(b'"instance_id":"i1"', f'"instance_id":"bad{number}"'.encode())
            await client.publish(subjects.heartbeat(product, f"bad{number}", "b1"), named)
        await client.publish(subjects.heartbeat(other, "i1", "b1"), encode(good))
        gone = heartbeat({first: 3}, product_id=2_000_000_000)
        await send(client, nats_root, gone)
        mixed = heartbeat({foreign: 100, second: 5}, product_id=product, instance_id="i2")
        await send(client, nats_root, mixed)
        await send(client, nats_root, good)

        def dropped() -> dict[str, float]:
            reasons = ("malformed", "foreign", "product_gone", "subscription_foreign")
            return {reason: metric(running, "heartbeats_dropped_total", reason=reason) for reason in reasons}

        wanted = {"malformed": len(malformed), "foreign": 1, "product_gone": 1, "subscription_foreign": 1}
        await eventually(lambda: dropped() == wanted)

        async def counted() -> bool:
            return await database.totals(product) == {first: 3, second: 5}

        await eventually(counted)
        assert sum((await database.totals(other)).values()) == 0
        assert await database.received(product) == 8
        await eventually(lambda: metric(running, "consumer_unacknowledged") == 0)
        assert not running.down()
        taken = metric(running, "heartbeats_merged_total") + metric(running, "heartbeats_folded_total")
        whole = sum(dropped().values()) - 1  # one was counted but for the foreign subscription
        await eventually(lambda: metric(running, "heartbeats_received_total") == taken + whole)


async def test_a_source_of_rubbish_is_counted_each_time_and_logged_once(
    collectors: Collectors,
    database: Database,
    client: Client,
    nats_root: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    product, (first, _) = await database.product("lamps")
    subjects = Subjects(nats_root)
    async with collectors(redelivery_seconds=300) as running:
        await ready(running)
        for number in range(30):
            # A new boot each time, as of a program that crashes and starts again.
            await client.publish(subjects.heartbeat(product, "mad", f"b{number}"), b"rubbish")
            foreign = encode(heartbeat(product_id=product, instance_id="other"))
            await client.publish(subjects.heartbeat(product, "liar", f"b{number}"), foreign)
        await send(client, nats_root, heartbeat({first: 3}, product_id=product))

        async def counted() -> bool:
            return await database.received(product) == 3

        await eventually(counted)
        await eventually(lambda: metric(running, "consumer_unacknowledged") == 0)
        for reason in ("malformed", "foreign"):
            assert metric(running, "heartbeats_dropped_total", reason=reason) == 30
    logged = [getattr(line, "source", None) for line in caplog.records]
    prefix = subjects.heartbeat(product, "", "").rstrip(".")
    assert [each for each in logged if each] == [f"{prefix}.mad", f"{prefix}.liar"]


async def test_a_value_that_only_the_database_refuses_is_left_out_alone(
    collectors: Collectors, database: Database, client: Client, nats_root: str
) -> None:
    product, (first, _) = await database.product("lamps")
    await database.connection.execute(
        "alter table mqtt_instances add constraint no_such_host check (host <> 'refused.example.com')"
    )
    async with collectors(flush_interval_seconds=0.3, redelivery_seconds=300) as running:
        await ready(running)
        for number in range(9):
            host = "refused.example.com" if number == 4 else ""
            beat = heartbeat({first: 1}, product_id=product, instance_id=f"i{number}", host=host)
            await send(client, nats_root, beat)
        await eventually(lambda: metric(running, "heartbeats_dropped_total", reason="refused") == 1)

        async def counted() -> bool:
            return await database.received(product) == 8

        await eventually(counted)


async def test_the_products_total_keeps_what_a_deleted_subscription_had(
    collectors: Collectors, database: Database, client: Client, nats_root: str
) -> None:
    product, (first, second) = await database.product("lamps")

    async def reaches(total: int) -> None:
        async def counted() -> bool:
            return await database.received(product) == total

        await eventually(counted)

    async with collectors() as running:
        await ready(running)
        await send(client, nats_root, heartbeat({first: 3, second: 4}, product_id=product))
        await reaches(7)
        await database.connection.execute("delete from mqtt_subscriptions where id = $1", first)
        await send(client, nats_root, heartbeat({first: 5, second: 4}, product_id=product, seq=2))
        await reaches(9)
        await send(client, nats_root, heartbeat({second: 6}, product_id=product, seq=3))
        await reaches(11)
        assert await database.totals(product) == {second: 6}


async def test_a_product_deleted_while_its_fleet_reports_stops_nothing(
    collectors: Collectors, database: Database, client: Client, nats_root: str
) -> None:
    kept, (subscription, _) = await database.product("kept")
    async with collectors() as running:
        await ready(running)
        for number in range(8):
            product, subscriptions = await database.product(f"p{number}")
            fleet = Fleet(product, subscriptions, size=20, seed=number)
            for _ in range(3):
                for beat in fleet.step():
                    await send(client, nats_root, beat)
            await client.flush()
            # In the middle of the flushes: never the deletion is the one that is rolled back.
            await database.connection.execute("delete from products where id = $1", product)
        await send(client, nats_root, heartbeat({subscription: 2}, product_id=kept))

        async def counted() -> bool:
            return await database.received(kept) == 2

        await eventually(counted)
        assert (
            await database.connection.fetchval("select count(distinct product_id) from mqtt_instances") == 1
        )


async def test_silence_makes_an_instance_stale_and_a_heartbeat_revives_it(
    collectors: Collectors, database: Database, client: Client, nats_root: str
) -> None:
    product, _ = await database.product("lamps")

    async def becomes(instance: str, state: str) -> None:
        async def check() -> bool:
            row = await database.instance(product, instance)
            return row is not None and row["state"] == state

        await eventually(check)

    async with collectors() as running:
        await ready(running)
        quiet = heartbeat(product_id=product, interval=0.1)
        await send(client, nats_root, heartbeat(product_id=product, instance_id="i2", interval=60))
        await send(client, nats_root, quiet)
        await becomes("i1", "live")
        await becomes("i1", "stale")
        assert (await database.status(product))["connected"]  # the other one is
        await send(client, nats_root, quiet)  # heard before: no sign of life
        await send(client, nats_root, structs.replace(quiet, seq=2, interval=60))
        await becomes("i1", "live")
        for name in ("i1", "i2"):
            bye = heartbeat(product_id=product, instance_id=name, seq=3, connected=False, stopping=True)
            await send(client, nats_root, bye)
            await becomes(name, "stopped")
        status = await database.status(product)
        assert not status["connected"]
        assert status["last_disconnected_at"] > status["last_connected_at"]
        await send(client, nats_root, heartbeat(product_id=product, seq=4))
        await becomes("i1", "live")


async def test_a_collector_that_comes_back_gives_the_fleet_three_intervals(
    collectors: Collectors, database: Database, client: Client, nats_root: str
) -> None:
    product, _ = await database.product("lamps")
    async with collectors() as running:
        await ready(running)
        await send(client, nats_root, heartbeat(product_id=product, interval=30))

        async def heard() -> bool:
            return await database.instance(product) is not None

        await eventually(heard)
    # As if the collector had been away for an hour.
    await database.connection.execute(
        "update mqtt_instances set last_heartbeat_at = now() - interval '1 hour'"
    )
    async with collectors() as running:
        await ready(running)
        await eventually(lambda: running.consumer.hearing)
        for _ in range(3):
            assert await running.sweeper.sweep()
        assert (await database.instance(product))["state"] == "live"


async def test_old_boots_are_cleaned_and_totals_stay(
    collectors: Collectors, database: Database, client: Client, nats_root: str
) -> None:
    product, (first, _) = await database.product("lamps")
    async with collectors() as running:
        await ready(running)
        for number in (1, 2, 3):
            await send(client, nats_root, heartbeat({first: 2}, product_id=product, boot=f"b{number}"))

        async def counted() -> bool:
            return await database.received(product) == 6

        await eventually(counted)
    await database.connection.execute(
        "update mqtt_instance_boots set updated_at = now() - interval '40 days'"
    )
    async with collectors() as running:
        boots = "select count(*) from mqtt_instance_boots"

        async def cleaned() -> bool:
            return await database.connection.fetchval(boots) == 0

        await eventually(cleaned)
        await ready(running)
        await send(client, nats_root, heartbeat({first: 5}, product_id=product, boot="b3", seq=2))

        async def more() -> bool:
            return (await database.totals(product))[first] == 9

        await eventually(more)
        assert await database.received(product) == 9


async def test_http_names_what_is_down(collectors: Collectors) -> None:
    async with collectors(nats_url="nats://127.0.0.1:1") as running:
        await eventually(lambda: "postgresql" not in running.down())
        status, body = await asyncio.to_thread(request, running.port, "GET", "/readyz")
        assert (status, list(body["down"])) == (503, ["nats"])
        assert "NATS_URL" in body["down"]["nats"]["remedy"]
        assert await asyncio.to_thread(http_status, running.port, "/healthz") == 200
        assert await asyncio.to_thread(http_status, running.port, "/metrics") == 200


async def test_the_lag_and_its_age_grow_while_nothing_can_be_committed(
    collectors: Collectors, database: Database, database_url: str, client: Client, nats_root: str
) -> None:
    product, (first, _) = await database.product("lamps")
    async with collectors() as running:
        await ready(running)
        await send(client, nats_root, heartbeat({first: 1}, product_id=product))
        await eventually(lambda: metric(running, "last_flush_timestamp_seconds"))
        await eventually(lambda: metric(running, "consumer_unacknowledged") == 0)
        assert metric(running, "consumer_oldest_age_seconds") == 0
        flushed_at = metric(running, "last_flush_timestamp_seconds")
        blocker: Any = await cast("Any", asyncpg).connect(database_url)
        async with blocker.transaction():
            await blocker.execute("lock table mqtt_instances in exclusive mode")
            await send(client, nats_root, heartbeat({first: 2}, product_id=product, seq=2))
            await eventually(lambda: metric(running, "errors_total", operation="flush") > 0)
            await eventually(lambda: metric(running, "consumer_oldest_age_seconds") > 1)
            assert metric(running, "consumer_unacknowledged") == 1
            assert metric(running, "last_flush_timestamp_seconds") == flushed_at
        await blocker.close()
        await eventually(lambda: metric(running, "consumer_oldest_age_seconds") == 0)
        assert metric(running, "last_flush_timestamp_seconds") > flushed_at
        assert metric(running, "messages_counted_total") == 2


async def test_a_missing_schema_is_named_and_waited_for(
    collectors: Collectors, empty_database_url: str
) -> None:
    async with collectors(database_url=empty_database_url) as running:
        await eventually(lambda: "config-service migrate" in running.down().get("postgresql", ""))


@pytest.mark.parametrize("table", ["products", "mqtt_configs", "api_tokens", "mqtt_config_revisions"])
async def test_the_login_cannot_touch_the_desired_side(database: Database, table: str) -> None:
    can = "select has_table_privilege('mqtt_status_collector', $1, 'insert, update, delete, truncate')"
    assert not await database.connection.fetchval(can, table)
