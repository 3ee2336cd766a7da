"""What operators look at: counts of instances, progress of a rollout, activity, history per minute."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest
from msgspec import structs

from mqtt_shared.messages import (
    Counters,
    InstanceCounts,
    Rejection,
    StatusChanged,
    SubscriptionTotals,
    decode,
)
from mqtt_shared.subjects import Subjects
from status_collector.core.aggregate import recount
from status_collector.core.model import Desired, Happened, InstanceKey
from status_collector.errors import UnavailableError
from status_collector.store import Store
from tests.support.waiting import eventually

from .support import Database, Fleet, heartbeat, send

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from nats.aio.client import Client

    from .conftest import Collectors

LATENCY = [0, 0, 1, 3, *[4] * 11]


@asynccontextmanager
async def listening(client: Client, nats_root: str) -> AsyncGenerator[list[StatusChanged]]:
    """What is told on NATS while the block runs, oldest first."""
    told: list[StatusChanged] = []

    async def tell(message: Any) -> None:
        told.append(decode(message.data, StatusChanged))

    subscription = await cast("Any", client).subscribe(Subjects(nats_root).status("*"), cb=tell)
    await client.flush()
    yield told
    await subscription.unsubscribe()


async def test_a_flush_tells_what_it_changed(
    collectors: Collectors, database: Database, client: Client, nats_root: str
) -> None:
    product, (first, second) = await database.product("lamps")
    counted = Counters(messages_received=4, actions_executed=3, actions_failed=1, latency=LATENCY)
    beat = heartbeat(product_id=product, applied_revision=1, applied_digest="d1")
    beat = structs.replace(beat, counters={str(first): counted})
    async with collectors() as running, listening(client, nats_root) as told:
        await eventually(lambda: not running.down())
        await send(client, nats_root, beat)
        await eventually(lambda: told)
        refused = Rejection(revision=2, error="no such host")
        more = structs.replace(beat, seq=2, rejected=refused, connected=False, connection_error="away")
        await send(client, nats_root, structs.replace(more, counters={**beat.counters, str(second): counted}))
        await eventually(lambda: len(told) == 2)
    begin, after = told
    assert begin.status.state == "healthy"
    assert begin.status.instances == InstanceCounts(live=1, connected=1, applied=1)
    assert [each.kind for each in begin.transitions] == ["started", "connected", "applied"]
    assert begin.subscriptions == {
        str(first): SubscriptionTotals(messages_received=4, actions_executed=3, actions_failed=1)
    }
    assert after.status.state == "disconnected"
    assert (after.status.messages_received, after.status.actions_executed) == (8, 6)
    assert after.status.actions_failed == 2
    assert list(after.subscriptions) == [str(second)]
    assert [(each.kind, each.detail) for each in after.transitions] == [
        ("disconnected", "away"),
        ("rejected", "no such host"),
    ]
    [changed] = after.instances
    assert (changed.instance_id, changed.state, changed.connected) == ("i1", "live", False)
    assert (changed.messages_received, changed.connection_error) == (8, "away")
    assert changed.rejected == refused
    activity = await database.connection.fetch(
        "select instance_id, kind, revision, detail from mqtt_activity where product_id = $1 order by id",
        product,
    )
    assert [tuple(row) for row in activity] == [
        ("i1", "started", None, None),
        ("i1", "connected", None, None),
        ("i1", "applied", 1, None),
        ("i1", "disconnected", None, "away"),
        ("i1", "rejected", 2, "no such host"),
    ]


async def test_what_is_told_is_bounded_and_begins_with_what_happened(
    collectors: Collectors, database: Database, client: Client, nats_root: str
) -> None:
    product, _ = await database.product("lamps")
    names = [f"i{number:03}" for number in range(150)]
    async with collectors(flush_interval_seconds=0.5) as running, listening(client, nats_root) as told:
        await eventually(lambda: not running.down())
        for name in names:
            await send(client, nats_root, heartbeat(product_id=product, instance_id=name, connected=False))
        await eventually(lambda: sum(each.instances_changed for each in told) == 150)
        told.clear()
        for name in names:
            # Only the last one by name has something to tell.
            beat = heartbeat(product_id=product, instance_id=name, connected=name == names[-1], seq=2)
            await send(client, nats_root, beat)
        await eventually(lambda: sum(each.instances_changed for each in told) == 150)
    assert all(len(each.instances) <= 100 and len(each.transitions) <= 100 for each in told)
    last = next(each for each in told if each.transitions)
    assert [(each.instance_id, each.kind) for each in last.transitions] == [(names[-1], "connected")]
    assert last.instances[0].instance_id == names[-1]


async def counts(database: Database, product: int) -> InstanceCounts:
    """As stored."""
    row = await database.status(product)
    if row is None:
        return InstanceCounts()
    return InstanceCounts(**{name: row[f"instances_{name}"] for name in InstanceCounts.__struct_fields__})


async def test_a_new_revision_makes_instances_pending_within_a_second(
    collectors: Collectors, database: Database, client: Client, nats_root: str
) -> None:
    product, _ = await database.product("lamps")
    async with collectors() as running, listening(client, nats_root) as told:
        await eventually(lambda: not running.down())
        beats = [
            heartbeat(product_id=product, instance_id=name, applied_revision=1, applied_digest="d1")
            for name in ("i1", "i2", "i3")
        ]
        for beat in beats:
            await send(client, nats_root, beat)

        async def have(**wanted: int) -> None:
            async def check() -> bool:
                return await counts(database, product) == InstanceCounts(live=3, connected=3, **wanted)

            await eventually(check)

        await have(applied=3)
        assert (await database.status(product))["settled_at"]
        told.clear()
        await database.revise(product, 2, "d2")
        await have(pending=3)
        assert (await database.status(product))["settled_at"] is None
        await eventually(lambda: told and told[-1].status.instances == all_connected(pending=3))
        now = {"seq": 2, "applied_revision": 2, "applied_digest": "d2"}
        await send(client, nats_root, structs.replace(beats[0], **now))
        await send(client, nats_root, structs.replace(beats[1], **{**now, "applied_digest": "other"}))
        await have(applied=1, drifted=1, pending=1)
        refused = Rejection(revision=2, error="no")
        await send(client, nats_root, structs.replace(beats[2], seq=2, rejected=refused))
        await have(applied=1, drifted=1, rejected=1)
        assert (await database.status(product))["settled_at"]
        assert (await database.status(product))["state"] == "degraded"


def all_connected(**wanted: int) -> InstanceCounts:
    return InstanceCounts(live=3, connected=3, **wanted)


async def test_counts_that_are_kept_equal_those_that_are_made_anew(
    collectors: Collectors, database: Database, client: Client, nats_root: str, collector_url: str
) -> None:
    """In small steps by flushes and sweeps, at once by SQL, and by the rule in Python."""
    product, subscriptions = await database.product("lamps")
    fleet = Fleet(product, subscriptions, size=30, seed=11, interval=0.2)
    async with collectors() as running:
        await eventually(lambda: not running.down())
        for number in range(25):
            for beat in fleet.step():
                changes: dict[str, Any] = {
                    "connected": fleet.random.random() < 0.7,
                    "applied_revision": fleet.random.choice([None, 1, 2, 3]),
                    "applied_digest": fleet.random.choice([None, "d1", "d2"]),
                    "connection_error": fleet.random.choice([None, "away"]),
                    "rejected": fleet.random.choice([None, Rejection(revision=2, error="no")]),
                }
                await send(client, nats_root, structs.replace(beat, **changes))
            await client.flush()
            if number == 10:
                await database.revise(product, 2, "d2")
            await asyncio.sleep(0.05)

        async def all_silent() -> bool:
            return not (await counts(database, product)).live

        kept = await counts(database, product)
        assert kept.live
        await eventually(all_silent)
        stored = await counts(database, product)
    async with Store.open(collector_url) as store, store.transaction() as transaction:
        assert (await transaction.count_instances({product: Desired(2, "d2")}))[product] == stored
    await database.connection.execute("update mqtt_instances set state = 'live' where instance_id < 'i2'")
    rows = await database.connection.fetch("select product_id, instance_id from mqtt_instances")
    keys = [InstanceKey(row[0], row[1]) for row in rows]
    desired = Desired(2, "d2")
    async with Store.open(collector_url) as store, store.transaction() as transaction:
        by_sql = (await transaction.count_instances({product: desired}))[product]
        instances = [each.instance for each in (await transaction.instances(keys)).values()]
    by_rule = recount(InstanceCounts(), ((None, each) for each in instances), desired)
    assert by_sql == by_rule
    assert by_rule.live
    assert by_rule.stale + by_rule.stopped
    changed = recount(by_rule, ((each, structs.replace(each, state="stale")) for each in instances), desired)
    assert changed == InstanceCounts(stale=len(keys))


async def test_an_instance_that_is_silent_for_long_is_gone_and_its_counts_stay(
    collectors: Collectors, database: Database, client: Client, nats_root: str
) -> None:
    product, (first, _) = await database.product("lamps")
    async with collectors() as running:
        await eventually(lambda: not running.down())
        await send(client, nats_root, heartbeat({first: 5}, product_id=product, stopping=True))

        async def stopped() -> bool:
            return await database.received(product) == 5 and (await counts(database, product)).stopped == 1

        await eventually(stopped)
    await database.connection.execute(
        "update mqtt_instances set last_heartbeat_at = now() - interval '8 days'"
    )
    async with collectors(redelivery_seconds=0.5) as running, listening(client, nats_root) as told:
        await eventually(lambda: told)
        assert [(each.instance_id, each.kind) for each in told[0].transitions] == [("i1", "gone")]
        assert await counts(database, product) == InstanceCounts()
        assert (await database.status(product))["state"] == "no_instances"
        assert await database.instance(product) is None
        # It comes back as the same boot: only what is new counts.
        await send(client, nats_root, heartbeat({first: 7}, product_id=product, seq=2))

        async def counted() -> bool:
            return await database.received(product) == 7

        await eventually(counted)
        assert await database.totals(product) == {first: 7, first + 1: 0}


async def test_minutes_hold_what_totals_gained(
    collectors: Collectors, database: Database, client: Client, nats_root: str
) -> None:
    product, (first, second) = await database.product("lamps")
    async with collectors() as running:
        await eventually(lambda: not running.down())
        for seq in range(1, 6):
            for name in ("i1", "i2"):
                latency = [seq * n for n in LATENCY]
                counted = {
                    str(first): Counters(messages_received=4 * seq, actions_failed=seq, latency=latency),
                    str(second): Counters(messages_received=seq, actions_executed=2 * seq),
                }
                beat = heartbeat(product_id=product, instance_id=name, seq=seq)
                await send(client, nats_root, structs.replace(beat, counters=counted))
            await client.flush()
            await asyncio.sleep(0.04)

        async def counted_all() -> bool:
            return await database.received(product) == 50

        await eventually(counted_all)
    rows = await database.connection.fetch(
        "select subscription_id, sum(received)::int, sum(executed)::int, sum(failed)::int,"
        " mqtt_sum_counts(latency), max(connected_instances) from mqtt_metrics_minute"
        " where product_id = $1 group by 1 order by 1",
        product,
    )
    buckets = [0, 0, 10, 20, 10, *[0] * 10]
    assert [tuple(row) for row in rows] == [
        (0, 50, 20, 10, buckets, 2),
        (first, 40, 0, 10, buckets, None),
        (second, 10, 20, 0, [], None),
    ]


async def test_finished_hours_are_added_up_once_by_whoever_is_first(
    collectors: Collectors, database: Database, collector_url: str
) -> None:
    product, (first, _) = await database.product("lamps")
    await database.connection.execute(
        "insert into mqtt_metrics_minute"
        " (product_id, subscription_id, at, received, latency, connected_instances)"
        " select $1, s, date_trunc('hour', now()) - interval '2 hours' + m * interval '1 minute',"
        " m, '{1,2}', m from generate_series(0, 59) m, unnest(array[0, $2::int]) s",
        product,
        first,
    )
    async with collectors() as one, collectors() as two:
        await eventually(lambda: not one.down() and not two.down())
        rows = (
            "select subscription_id, received, latency, connected_instances from mqtt_metrics_hour order by 1"
        )

        async def added_up() -> bool:
            return len(await database.connection.fetch(rows)) == 2

        await eventually(added_up)
        found = [tuple(row) for row in await database.connection.fetch(rows)]
        assert found == [(key, 59 * 30, [60, 120], 59) for key in (0, first)]
    async with Store.open(collector_url) as store, store.transaction() as transaction:
        assert await transaction.roll_up(86_400) == 0


@pytest.mark.parametrize("table", ["mqtt_activity", "mqtt_metrics_minute"])
async def test_partitions_older_than_the_retention_are_dropped(
    collectors: Collectors, database: Database, table: str
) -> None:
    old = await database.connection.fetchval("select (now() at time zone 'UTC')::date - 40")
    name = f"{table}_{old:%Y%m%d}"
    await database.connection.execute(
        f"create table {name} partition of {table}"
        f" for values from ('{old}+00') to ('{old + timedelta(days=1)}+00')"
    )
    async with collectors() as running:
        await eventually(lambda: not running.down())
        assert await database.connection.fetchval("select to_regclass($1)", name) is None
        today = f"{table}_{old + timedelta(days=40):%Y%m%d}"
        assert await database.connection.fetchval("select to_regclass($1)::text", today) == today


async def test_a_missing_partition_is_waited_for_and_not_taken_for_a_bad_value(
    collectors: Collectors, database: Database, client: Client, nats_root: str, collector_url: str
) -> None:
    product, (first, _) = await database.product("lamps")
    await database.connection.execute(
        "do $$ declare child text; begin for child in select inhrelid::regclass::text from pg_inherits"
        " where inhparent in ('mqtt_activity'::regclass, 'mqtt_metrics_minute'::regclass)"
        " loop execute format('drop table %s', child); end loop; end $$"
    )
    event = (InstanceKey(product, "i1"), Happened("started"))
    async with Store.open(collector_url) as store:
        with pytest.raises(UnavailableError, match="partitions"):
            async with store.transaction() as transaction:
                await transaction.add_activity([event], await transaction.clock())
    async with collectors() as running:
        await eventually(lambda: not running.down())
        await send(client, nats_root, heartbeat({first: 5}, product_id=product))

        async def counted() -> bool:
            return await database.received(product) == 5

        await eventually(counted)
