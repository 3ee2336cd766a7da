"""Totals stay exact whatever is killed, and everything goes on by itself."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

import asyncpg
import nats
import pytest
from nats.js.api import AckPolicy, ConsumerConfig
from nats.js.errors import NotFoundError

from mqtt_shared.subjects import Subjects
from status_collector.consumer import CONSUMER
from status_collector.errors import UnavailableError
from status_collector.store import Store
from tests.support.proxy import TcpProxy
from tests.support.waiting import eventually

from .conftest import login_of
from .support import Database, Fleet, consumer_info, heartbeat, send

if TYPE_CHECKING:
    from nats.aio.client import Client

    from deploy.local.nats import Nats
    from deploy.local.postgres import Postgres
    from tests.support.processes import Processes

    from .conftest import Collectors


async def equal(database: Database, fleet: Fleet) -> None:
    """Wait until the totals are those of the reference; they may never be more."""
    wanted = fleet.totals()

    async def counted() -> bool:
        totals = await database.totals(fleet.product)
        if any(totals[key] > wanted[key] for key in wanted):
            raise RuntimeError(f"counted twice: {totals}, not {wanted}")
        return totals == wanted and await database.received(fleet.product) == sum(wanted.values())

    await eventually(counted, 25)


async def test_kill_9_at_any_moment_changes_no_total(
    environment: dict[str, str],
    processes: Processes,
    database: Database,
    client: Client,
    nats_root: str,
) -> None:
    product, subscriptions = await database.product("lamps", 3)
    fleet = Fleet(product, subscriptions, size=20, seed=7)
    del environment["HTTP_PORT"]
    for kill_round in range(4):
        process, _ = await processes.serve("status_collector", environment=environment)
        for _ in range(5 + 7 * kill_round):
            for beat in fleet.step():
                await send(client, nats_root, beat)
            await client.flush()
            await asyncio.sleep(0.003)  # the pace of the fleet
        process.kill()
    process, _ = await processes.serve("status_collector", environment=environment)
    for beat in fleet.last():
        await send(client, nats_root, beat)
    await equal(database, fleet)


async def test_kill_9_between_commit_and_acknowledgement_changes_no_total(
    environment: dict[str, str],
    processes: Processes,
    database: Database,
    database_url: str,
    client: Client,
    nats_server: Nats,
    nats_root: str,
) -> None:
    product, (first, second) = await database.product("lamps")
    del environment["HTTP_PORT"]

    async def unacknowledged() -> int:
        return (await consumer_info(client, nats_root)).num_ack_pending or 0

    async def counted() -> bool:
        return await database.totals(product) == {first: 3, second: 4}

    async with TcpProxy.before(nats_server.url) as proxy:
        through = {**environment, "NATS_URL": proxy.through(nats_server.url)}
        process, _ = await processes.serve("status_collector", environment=through)
        blocker: Any = await cast("Any", asyncpg).connect(database_url)
        async with blocker.transaction():
            # The flush cannot commit; then the acknowledgement cannot leave.
            await blocker.execute("lock table mqtt_instances in exclusive mode")
            await send(client, nats_root, heartbeat({first: 3, second: 4}, product_id=product))
            await eventually(unacknowledged)
            await eventually(lambda: "flush failed" in process.output())
            proxy.stall()
        await blocker.close()
        await eventually(counted)
        assert await unacknowledged() == 1
        process.kill()
    await processes.serve("status_collector", environment=environment)

    async def acknowledged() -> bool:
        return await unacknowledged() == 0

    await eventually(acknowledged)  # delivered once more
    assert await counted()
    assert await database.received(product) == 7


async def test_sigterm_flushes_what_was_heard_and_ends_with_0(
    environment: dict[str, str],
    processes: Processes,
    database: Database,
    client: Client,
    nats_root: str,
) -> None:
    product, subscriptions = await database.product("lamps")
    fleet = Fleet(product, subscriptions, size=20, seed=3)
    del environment["HTTP_PORT"]
    slow = {**environment, "FLUSH_INTERVAL_SECONDS": "10"}
    process, _ = await processes.serve("status_collector", environment=slow)
    fleet.step()
    for beat in fleet.last():
        await send(client, nats_root, beat)

    async def delivered() -> bool:
        return (await consumer_info(client, nats_root)).num_ack_pending == fleet.size

    await eventually(delivered)
    process.signal(signal.SIGTERM)
    await asyncio.to_thread(process.wait, 8)
    assert process.returncode == 0
    assert await database.totals(product) == fleet.totals()
    assert (await consumer_info(client, nats_root)).num_ack_pending == 0


async def test_a_connection_whose_server_has_said_goodbye_is_replaced(
    collector_url: str, database: Database
) -> None:
    async with TcpProxy.before(collector_url) as proxy:
        proxy.keeps_open = True
        async with Store.open(proxy.through(collector_url)) as store:
            await store.ping()
            ended = "select count(pg_terminate_backend(pid, 5000)) from pg_stat_activity where usename = $1"
            assert await database.connection.fetchval(ended, urlsplit(collector_url).username) == 1
            await asyncio.sleep(0.5)  # for the goodbye to arrive
            with pytest.raises(UnavailableError) as raised:
                async with store.transaction():
                    pass
            assert isinstance(raised.value.__cause__, asyncpg.InternalClientError)
            proxy.keeps_open = False
            async with store.transaction() as transaction:
                assert await transaction.clock()


async def test_postgresql_killed_and_back(
    collectors: Collectors,
    own_postgres: Postgres,
    own_database_url: str,
    client: Client,
    nats_root: str,
) -> None:
    owner: Any = await cast("Any", asyncpg).connect(own_database_url)
    product, subscriptions = await Database(owner).product("lamps")
    fleet = Fleet(product, subscriptions, size=10, seed=5)
    async with collectors(database_url=login_of(own_database_url)) as running:
        await eventually(lambda: not running.down())
        for _ in range(3):
            for beat in fleet.step():
                await send(client, nats_root, beat)
        await asyncio.to_thread(own_postgres.kill)
        await owner.close(timeout=1) if not owner.is_closed() else None
        for _ in range(10):
            for beat in fleet.step():
                await send(client, nats_root, beat)
        await client.flush()
        await eventually(lambda: "postgresql" in running.down())
        await asyncio.to_thread(own_postgres.start)
        owner = await cast("Any", asyncpg).connect(own_database_url)
        for beat in fleet.last():
            await send(client, nats_root, beat)
        await equal(Database(owner), fleet)
        await eventually(lambda: not running.down())
        await owner.close()


async def test_nats_away_at_the_start_and_killed_later(
    collectors: Collectors, own_nats: Nats, database: Database, nats_root: str
) -> None:
    product, subscriptions = await database.product("lamps")
    fleet = Fleet(product, subscriptions, size=10, seed=6)
    await asyncio.to_thread(own_nats.stop)
    async with collectors(nats_url=own_nats.url) as running:
        await eventually(lambda: list(running.down()) == ["nats"])
        await asyncio.to_thread(own_nats.start)
        await eventually(lambda: not running.down())
        for _ in range(2):
            client: Client = await cast("Any", nats).connect(own_nats.url)
            for beat in fleet.step() + fleet.last():
                await send(client, nats_root, beat)
            await client.flush()
            await client.close()
            await equal(database, fleet)
            await asyncio.to_thread(own_nats.kill)
            await eventually(lambda: "nats" in running.down())
            assert not running.consumer.hearing
            await asyncio.to_thread(own_nats.start)
            await eventually(lambda: not running.down())


async def test_a_stream_that_somebody_deletes_is_made_again(
    collectors: Collectors, database: Database, client: Client, nats_root: str
) -> None:
    product, (first, second) = await database.product("lamps")
    manager: Any = cast("Any", client).jetstream()
    async with collectors() as running:
        await eventually(lambda: not running.down())
        await manager.delete_stream(Subjects(nats_root).heartbeat_stream)

        async def made() -> bool:
            info = await manager.stream_info(Subjects(nats_root).heartbeat_stream)
            return info.state.consumer_count == 1

        async def counted() -> bool:
            with_stream = await database.totals(product)
            return with_stream == {first: 1, second: 2}

        await eventually(_without_errors(made))
        await send(client, nats_root, heartbeat({first: 1, second: 2}, product_id=product))
        await eventually(counted)


async def test_a_consumer_that_pushes_is_replaced(
    collectors: Collectors, database: Database, client: Client, nats_root: str
) -> None:
    product, (first, second) = await database.product("lamps")
    manager: Any = cast("Any", client).jetstream()
    subjects = Subjects(nats_root)
    stream = subjects.heartbeat_stream
    await manager.add_stream(name=stream, subjects=[subjects.heartbeats], max_msgs_per_subject=1)
    earlier = ConsumerConfig(
        durable_name=CONSUMER,
        deliver_subject="somewhere",
        deliver_group=CONSUMER,
        ack_policy=AckPolicy.EXPLICIT,
    )
    await manager.add_consumer(stream, earlier)
    await send(client, nats_root, heartbeat({first: 1, second: 2}, product_id=product))
    async with collectors():

        async def counted() -> bool:
            return await database.totals(product) == {first: 1, second: 2}

        await eventually(counted)
    assert (await consumer_info(client, nats_root)).config.deliver_subject is None


def _without_errors(check: Any) -> Any:
    async def checked() -> bool:
        try:
            return await check()
        except NotFoundError:
            return False

    return checked
