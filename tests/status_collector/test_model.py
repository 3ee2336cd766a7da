"""Everything at once, at random, against a grow-only counter: nothing may differ by one.

`MODEL_SECONDS` is how long the faults go on, `MODEL_SEED` repeats a run.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import signal
import time
import uuid
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import accumulate
from typing import TYPE_CHECKING, Any, cast

import asyncpg
import nats
import pytest
from msgspec import structs
from nats.errors import Error as NatsError

from mqtt_shared.messages import Counters, Heartbeat, InstanceCounts, encode
from mqtt_shared.subjects import Subjects
from status_collector.consumer import CONSUMER
from status_collector.core.model import Desired
from status_collector.store import Store
from tests.support.clocks import skewed
from tests.support.waiting import eventually

from .conftest import login_of
from .support import EPOCH, Database, heartbeat

if TYPE_CHECKING:
    from deploy.local.nats import Nats
    from deploy.local.postgres import Postgres
    from deploy.local.process import Process
    from tests.support.processes import Processes

SECONDS = float(os.environ.get("MODEL_SECONDS", "8"))
SEED = int(os.environ.get("MODEL_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)
HAVE_FAKETIME = shutil.which("faketime") is not None
BUCKETS = 15
Key = tuple[int, str, str, int]
Counted = tuple[int, ...]
"""Received, executed, failed, then the messages in each bucket."""


def plus(a: Counted, b: Counted) -> Counted:
    return tuple(x + y for x, y in zip(a, b, strict=True))


NOTHING: Counted = (0,) * (3 + BUCKETS)


@dataclass
class Instance:
    """One that counts, crashes, and whose clock may be an hour off."""

    product: int
    name: str
    skew: timedelta = timedelta()
    boot: str = ""
    seq: int = 0
    stopped: bool = False
    counted: dict[int, Counted] = field(default_factory=lambda: defaultdict(lambda: NOTHING))
    sent: list[Heartbeat] = field(default_factory=list[Heartbeat])


class World:
    """The fleet, and what the totals must be: a counter for each instance, boot and subscription."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.subscriptions: dict[int, list[int]] = {}
        self.instances: list[Instance] = []
        self.ended: dict[Key, Counted] = {}
        """What boots that are over had told."""
        self.over: list[tuple[int, str, str]] = []
        """Boots that are over and still remembered by the stream and the database."""

    def add(self, product: int, subscriptions: list[int], size: int) -> None:
        self.subscriptions[product] = subscriptions
        for number in range(size):
            self.instances.append(Instance(product, f"i{number}"))
            self.boot(self.instances[-1])

    def boot(self, instance: Instance) -> None:
        """A new run, by a clock that may have been put forward or back by an hour."""
        instance.skew = timedelta(seconds=self.random.choice([0, 0, -3600, 3600, self.random.uniform(-9, 9)]))
        at = int((time.time() + instance.skew.total_seconds()) * 1000)
        # A UUIDv7: the time in milliseconds first.
        instance.boot = str(uuid.UUID(int=(at << 80) | self.random.getrandbits(76) | (7 << 76)))
        instance.seq, instance.stopped = 0, False
        instance.counted.clear()
        instance.sent.clear()

    def count(self, instance: Instance) -> None:
        for subscription in self.subscriptions[instance.product]:
            received = self.random.randrange(4)
            measured = [0] * BUCKETS
            for _ in range(received):
                measured[self.random.randrange(BUCKETS)] += 1
            more = (received, self.random.randrange(3), self.random.randrange(2), *measured)
            instance.counted[subscription] = plus(instance.counted[subscription], more)

    def report(self, instance: Instance, *, stopping: bool = False) -> Heartbeat:
        instance.seq += 1
        counters = {
            str(key): Counters(
                messages_received=counted[0],
                actions_executed=counted[1],
                actions_failed=counted[2],
                latency=list(accumulate(counted[3:])),
            )
            for key, counted in instance.counted.items()
        }
        beat = structs.replace(
            heartbeat(
                product_id=instance.product,
                instance_id=instance.name,
                boot=instance.boot,
                seq=instance.seq,
                stopping=stopping,
                connected=self.random.random() < 0.8,
                applied_revision=self.random.choice([None, 1]),
                applied_digest=self.random.choice([None, "d1", "other"]),
                interval=self.random.choice([0.3, 60.0]),
            ),
            counters=counters,
            sent_at=EPOCH + instance.skew,
        )
        instance.sent.append(beat)
        return beat

    def end(self, instance: Instance) -> None:
        """The boot is over; what it told last stands."""
        for key, counted in instance.counted.items():
            self.ended[instance.product, instance.name, instance.boot, key] = counted
        self.over.append((instance.product, instance.name, instance.boot))
        instance.counted.clear()

    def totals(self) -> tuple[dict[int, Counted], dict[int, Counted]]:
        """By product, and by subscription."""
        products: dict[int, Counted] = defaultdict(lambda: NOTHING)
        subscriptions: dict[int, Counted] = defaultdict(lambda: NOTHING)
        running = {
            (one.product, one.name, one.boot, key): counted
            for one in self.instances
            for key, counted in one.counted.items()
        }
        for (product, _, _, key), counted in (self.ended | running).items():
            products[product] = plus(products[product], counted)
            subscriptions[key] = plus(subscriptions[key], counted)
        return products, subscriptions


class Run:
    """The servers, the collectors, and the fleet's connection."""

    def __init__(
        self,
        world: World,
        postgres: Postgres,
        nats_server: Nats,
        processes: Processes,
        root: str,
    ) -> None:
        self.world, self.random = world, world.random
        self.postgres, self.nats = postgres, nats_server
        self.processes, self.subjects = processes, Subjects(root)
        self.collectors: list[Process] = []
        self.client: Any = None
        self.did: dict[str, int] = defaultdict(int)
        self.environment = {
            "DATABASE_URL": login_of(postgres.url()),
            "NATS_URL": nats_server.url,
            "NATS_ROOT": root,
            "HTTP_PORT": "0",
            "FLUSH_INTERVAL_SECONDS": "0.05",
            "FLUSH_SIZE": "7",
            "SWEEP_INTERVAL_SECONDS": "0.1",
            "REDELIVERY_SECONDS": "1",
            "LOG_FORMAT": "json",
        }

    async def connect(self) -> None:
        connect = cast("Any", nats).connect
        self.client = await connect(
            self.nats.url, max_reconnect_attempts=-1, reconnect_time_wait=0.1, error_cb=_ignore
        )

    async def database(self) -> Any:
        return await eventually(self._database, every=0.1)

    async def _database(self) -> Any:
        try:
            return await cast("Any", asyncpg).connect(self.postgres.url(), timeout=2)
        except (OSError, TimeoutError, asyncpg.PostgresError):
            return None

    async def tell(self, beat: Heartbeat, *, confirmed: bool = False) -> None:
        """Send one; `confirmed`: again and again until the stream has it."""
        subject = self.subjects.heartbeat(beat.product_id, beat.instance_id, beat.boot_id)
        if not confirmed:
            with contextlib.suppress(NatsError):
                await self.client.publish(subject, encode(beat))
            return
        for _ in range(200):
            try:
                await self.client.jetstream(timeout=1).publish(subject, encode(beat))
                return
            except (NatsError, TimeoutError):
                await asyncio.sleep(0.1)
        raise AssertionError("the stream does not come back")

    # What may happen.

    async def beat(self) -> None:
        """Most report; some heartbeats get lost, are repeated, or come late."""
        for one in self.world.instances:
            if one.stopped:
                continue
            self.world.count(one)
            beat = self.world.report(one)
            if self.random.random() < 0.8:
                await self.tell(beat)
            if self.random.random() < 0.2:
                # Of boots that run: of one that has ended the stream must keep the last.
                await self.tell(self.random.choice(one.sent))
            del one.sent[:-20]
        await asyncio.sleep(self.random.uniform(0, 0.05))

    async def restart_instance(self) -> None:
        one = self.random.choice(self.world.instances)
        if not one.stopped:
            # Crash or stop: what it has not told by now is in neither sum.
            await self.tell(self.world.report(one, stopping=self.random.random() < 0.5), confirmed=True)
            self.world.end(one)
        self.world.boot(one)

    async def stop_instance(self) -> None:
        one = self.random.choice(self.world.instances)
        if not one.stopped:
            await self.tell(self.world.report(one, stopping=True), confirmed=True)
            self.world.end(one)
            one.stopped = True

    async def start_collector(self) -> None:
        if len(self.collectors) < 5:
            environment = {**self.environment, **self.any_clock("collector")}
            self.collectors.append(self.processes.spawn("status_collector", environment=environment))

    def any_clock(self, whose: str) -> dict[str, str]:
        """The environment of a process whose clock may be an hour off, where libfaketime is there."""
        hours = self.random.choice([0, -1, 1]) if HAVE_FAKETIME else 0
        self.did[f"{whose} with clock {hours:+} h"] += 1
        return skewed(3600 * hours) if hours else {}

    async def end_collector(self) -> None:
        if len(self.collectors) > 1:
            process = self.collectors.pop(self.random.randrange(len(self.collectors)))
            process.signal(self.random.choice([signal.SIGKILL, signal.SIGTERM]))

    async def restart_postgres(self) -> None:
        await asyncio.to_thread(self.postgres.kill)
        await asyncio.sleep(self.random.uniform(0, 0.5))
        # As after a failover: all collectors get another time.
        self.postgres.process.environment = {**os.environ, **self.any_clock("postgresql")}
        await asyncio.to_thread(self.postgres.start)

    async def restart_nats(self) -> None:
        await asyncio.to_thread(self.nats.kill)
        await asyncio.sleep(self.random.uniform(0, 0.3))
        await asyncio.to_thread(self.nats.start)

    async def replace_subscription(self) -> None:
        """Delete one and create another of the same name."""
        connection = await self.database()
        product = self.random.choice(list(self.world.subscriptions))
        chosen = self.random.choice(self.world.subscriptions[product])
        row = await connection.fetchrow(
            "delete from mqtt_subscriptions where id = $1 returning mqtt_config_id, name", chosen
        )
        made = await connection.fetchval(
            "insert into mqtt_subscriptions (mqtt_config_id, name) values ($1, $2) returning id",
            row["mqtt_config_id"],
            row["name"],
        )
        await connection.close()
        ours = self.world.subscriptions[product]
        ours[ours.index(chosen)] = made

    async def age_instances(self) -> None:
        """Silent ones are gone at the next cleaning, which each collector begins with."""
        connection = await self.database()
        await connection.execute(
            "update mqtt_instances set last_heartbeat_at = last_heartbeat_at - interval '20 days'"
            " where state <> 'live' and random() < 0.5"
        )
        await connection.close()

    # What time does.

    async def forget(self) -> None:
        """Boots that are over grow old: the stream drops their heartbeats, then the database the boots."""
        await eventually(self._all_acknowledged, every=0.1)
        over, self.world.over = self.world.over, []
        jetstream = self.client.jetstream(timeout=5)
        for boot in over:
            subject = self.subjects.heartbeat(*boot)
            await jetstream.purge_stream(self.subjects.heartbeat_stream, subject=subject)
        connection = await self.database()
        boots = [boot for _, _, boot in over]
        await connection.execute(
            "update mqtt_instance_boots set updated_at = updated_at - interval '40 days'"
            " where boot_id = any($1)",
            boots,
        )
        await connection.execute(
            "update mqtt_instances set last_heartbeat_at = last_heartbeat_at - interval '40 days'"
            " where boot_id = any($1) and state <> 'live'",
            boots,
        )

        async def gone() -> bool:
            await self._clean()
            return not await connection.fetchval(
                "select exists (select from mqtt_instance_boots"
                "  where updated_at < now() - interval '30 days')"
                " or exists (select from mqtt_instances"
                "  where state <> 'live' and last_heartbeat_at < now() - interval '7 days')"
            )

        await eventually(gone, 60)
        await connection.close()
        self.did["boots forgotten"] += len(over)

    async def _all_acknowledged(self) -> bool:
        jetstream = self.client.jetstream(timeout=5)
        with contextlib.suppress(NatsError, TimeoutError):
            info = await jetstream.consumer_info(self.subjects.heartbeat_stream, CONSUMER)
            return info.num_pending == info.num_ack_pending == 0
        return False

    async def _clean(self) -> None:
        """Each collector begins with it."""
        if len(self.collectors) == 5:
            await self.end_collector()
        await self.start_collector()
        await eventually(lambda: "heartbeats come through" in self.collectors[-1].output(), every=0.1)
        await asyncio.sleep(0.3)

    async def step(self) -> None:
        """One thing, at random."""
        chances: dict[Any, float] = {
            self.beat: 60,
            self.restart_instance: 8,
            self.stop_instance: 2,
            self.start_collector: 5,
            self.end_collector: 5,
            self.restart_postgres: 1,
            self.restart_nats: 1,
            self.replace_subscription: 1.5,
            self.age_instances: 1.5,
        }
        [what] = self.random.choices(list(chances), list(chances.values()))
        self.did[what.__name__] += 1
        await what()


async def _ignore(_error: Exception) -> None:
    """Reconnecting is up to the client."""


async def stored(connection: Any) -> tuple[dict[int, Counted], dict[int, Counted]]:
    """What the totals are, with the histograms of the minutes."""

    def counted(row: Any) -> Counted:
        latency = list(row["latency"] or [])
        return (row["received"], row["executed"], row["failed"], *latency, *[0] * (BUCKETS - len(latency)))

    products = await connection.fetch(
        "select product_id as id, messages_received as received, actions_executed as executed,"
        " actions_failed as failed, (select mqtt_sum_counts(latency) from mqtt_metrics_minute m"
        "  where m.product_id = s.product_id and subscription_id = 0) as latency"
        " from mqtt_connection_status s"
    )
    subscriptions = await connection.fetch(
        "select id, messages_received as received, actions_executed as executed, actions_failed as failed,"
        " (select mqtt_sum_counts(latency) from mqtt_metrics_minute where subscription_id = s.id) as latency"
        " from mqtt_subscriptions s"
    )
    return {row["id"]: counted(row) for row in products}, {row["id"]: counted(row) for row in subscriptions}


async def check(run: Run) -> None:
    """All that run report; then everything must be equal."""
    world = run.world
    for one in world.instances:
        if not one.stopped:
            await run.tell(world.report(one), confirmed=True)
    await run.start_collector()
    connection = await run.database()
    products, subscriptions = world.totals()

    async def equal() -> bool:
        in_products, in_subscriptions = await stored(connection)
        assert in_products == products
        assert in_subscriptions == {key: subscriptions[key] for key in in_subscriptions}
        return True

    await eventually(equal, 30, 0.1)
    await asyncio.sleep(1.5)  # what is delivered once more must add nothing
    assert await equal()
    sums = await connection.fetch(
        "select product_id, sum(received)::int, sum(executed)::int, sum(failed)::int"
        " from mqtt_metrics_minute where subscription_id = 0 group by 1"
    )
    assert {row[0]: tuple(row)[1:] for row in sums} == {key: each[:3] for key, each in products.items()}
    await eventually(lambda: counts_are_kept(run, connection), every=0.1)
    await connection.close()


async def counts_are_kept(run: Run, connection: Any) -> bool:
    """The counts of instances are those that counting all of them gives."""
    async with Store.open(run.environment["DATABASE_URL"]) as store, store.transaction() as transaction:
        statuses = await transaction.lock(run.world.subscriptions)
        desired = dict.fromkeys(run.world.subscriptions, Desired(1, "d1"))
        anew = await transaction.count_instances(desired)
        assert {key: each.instances for key, each in statuses.items()} == {
            key: anew.get(key, InstanceCounts()) for key in statuses
        }
    return not connection.is_closed()


# The workers of a run must name the test alike; the seed is printed.
@pytest.mark.parametrize("seed", [pytest.param(SEED, id="seed")])
async def test_nothing_differs_from_the_model_whatever_happens(
    seed: int,
    own_postgres: Postgres,
    own_database_url: str,
    own_nats: Nats,
    processes: Processes,
    nats_root: str,
) -> None:
    world = World(seed)
    run = Run(world, own_postgres, own_nats, processes, nats_root)
    connection = await cast("Any", asyncpg).connect(own_database_url)
    for name in ("lamps", "doors"):
        world.add(*await Database(connection).product(name, 3), size=8)
    await connection.close()
    await run.connect()
    await run.start_collector()
    jetstream = run.client.jetstream(timeout=1)

    async def stream_is_there() -> bool:
        with contextlib.suppress(NatsError, TimeoutError):
            return bool(await jetstream.stream_info(run.subjects.heartbeat_stream))
        return False

    try:
        await eventually(stream_is_there)
        deadline = time.monotonic() + SECONDS
        checked = 0
        while time.monotonic() < deadline:
            until = min(deadline, time.monotonic() + 20)
            while time.monotonic() < until:
                await run.step()
            await check(run)
            await run.forget()
            await check(run)
            checked += 2
        print(f"seed {seed}: {checked} times equal; {dict(run.did)}")
    finally:
        await run.client.close()
