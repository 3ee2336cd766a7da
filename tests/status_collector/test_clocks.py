"""A wrong clock of a collector, an instance or the database changes nothing that is stored for long."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import asyncpg
import pytest
from msgspec import structs

from mqtt_shared.messages import Counters
from status_collector.clock import Clock
from tests.support.clocks import skewed
from tests.support.servers import fetch_value
from tests.support.waiting import eventually

from .conftest import login_of
from .support import Database, heartbeat, send

if TYPE_CHECKING:
    from nats.aio.client import Client

    from deploy.local.postgres import Postgres
    from tests.support.processes import Processes

NEAR = timedelta(minutes=5)


async def test_the_time_is_that_of_the_database_once_it_has_told() -> None:
    clock, now = Clock(), datetime.now(UTC)
    assert abs(clock.at(0) - now) < NEAR
    clock.set(now + timedelta(hours=1), 100)
    assert clock.at(107.5) == now + timedelta(hours=1, seconds=7.5)


@pytest.mark.parametrize("hours", [-1, 1])
async def test_a_collector_whose_clock_is_wrong(
    hours: float,
    environment: dict[str, str],
    processes: Processes,
    database: Database,
    client: Client,
    nats_root: str,
) -> None:
    product, (first, second) = await database.product("lamps")
    del environment["HTTP_PORT"]
    skew = timedelta(hours=hours)
    process, _ = await processes.serve(
        "status_collector", environment={**environment, **skewed(skew.total_seconds())}
    )
    now = datetime.now(UTC).replace(microsecond=0)
    told = datetime.fromisoformat(json.loads(process.last_lines(1)[0])["timestamp"])
    assert abs(told - now - skew) < NEAR, "its clock is wrong indeed"
    counters = {
        str(first): Counters(messages_received=1, last_message_at=now),
        # An instance whose own clock is ahead.
        str(second): Counters(messages_received=2, last_message_at=now + timedelta(hours=2)),
    }
    beat = structs.replace(heartbeat(product_id=product, interval=0.5), counters=counters)
    await send(client, nats_root, beat)

    async def received() -> bool:
        return await database.received(product) == 3

    await eventually(received)
    rows = await database.connection.fetch("select id, last_message_at from mqtt_subscriptions order by id")
    assert rows[0]["last_message_at"] == now
    assert abs(rows[1]["last_message_at"] - now) < NEAR
    status = await database.status(product)
    instance = await database.instance(product)
    for at in (status["last_connected_at"], status["updated_at"], instance["last_heartbeat_at"]):
        assert abs(at - now) < NEAR
    at = await database.connection.fetchval("select min(at) from mqtt_metrics_minute")
    assert abs(at - now) < NEAR

    async def is_stale() -> bool:
        return (await database.instance(product))["state"] == "stale"

    assert not await is_stale()
    await eventually(is_stale)  # by its interval, not by an hour


@pytest.mark.parametrize("hours", [-1, 1])
async def test_the_database_comes_back_with_another_clock(
    hours: float,
    environment: dict[str, str],
    processes: Processes,
    own_postgres: Postgres,
    own_database_url: str,
    client: Client,
    nats_root: str,
) -> None:
    owner: Any = await cast("Any", asyncpg).connect(own_database_url)
    product, (first, _) = await Database(owner).product("lamps")
    await owner.close()
    del environment["HTTP_PORT"]
    own = {**environment, "DATABASE_URL": login_of(own_database_url)}
    await processes.serve("status_collector", environment=own)

    async def reaches(total: int, state: str) -> None:
        async def is_there() -> bool:
            connection: Any = await cast("Any", asyncpg).connect(own_database_url)
            try:
                row = await Database(connection).instance(product)
                received = await Database(connection).received(product)
                return row is not None and (received, row["state"]) == (total, state)
            finally:
                await connection.close()

        await eventually(is_there, every=0.1)

    await send(client, nats_root, heartbeat({first: 1}, product_id=product, interval=60))
    await reaches(1, "live")
    own_postgres.stop()
    own_postgres.process.environment = skewed(3600 * hours)
    own_postgres.start()
    told = await fetch_value(own_database_url, "select now()")
    assert abs(told - datetime.now(UTC) - timedelta(hours=hours)) < NEAR
    await send(client, nats_root, heartbeat({first: 3}, product_id=product, seq=2, interval=60))
    await reaches(3, "live")
    await send(client, nats_root, heartbeat({first: 4}, product_id=product, seq=3, interval=0.5))
    await reaches(4, "stale")
