"""What a collector has counted and noted, as config-service tells it."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import pytest

from mqtt_shared.messages import Counters
from status_collector.store import Store
from tests.config_service.http import Api, serving, settings
from tests.support.servers import execute, fetch_value
from tests.support.waiting import eventually

from .support import heartbeat, send

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from nats.aio.client import Client

    from deploy.local.nats import Nats

    from .conftest import Collectors

HOUR = timedelta(hours=1)
HOURS = 9


@pytest.fixture
async def api(database_url: str, nats_server: Nats, nats_root: str) -> AsyncGenerator[Api]:
    """A config-service on the same database and NATS."""
    async with serving(settings(database_url, nats_server.url, nats_root)) as api:
        yield api


async def test_what_a_collector_writes_is_read(
    api: Api, collectors: Collectors, client: Client, nats_root: str
) -> None:
    product = await api.configured()
    path = f"/products/{product}/mqtt-config"
    subscription = (await api.json("POST", f"{path}/subscriptions", {"name": "paid"}, 201))["id"]
    # Of each of two instances: 4 messages within 50 ms, 1 within 5 s.
    latency = list(accumulate([0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0]))
    counted = Counters(messages_received=5, actions_executed=4, actions_failed=1, latency=latency)
    common: dict[str, Any] = {"product_id": product, "counters": {str(subscription): counted}}
    async with collectors() as running:
        await eventually(lambda: not running.down())
        for seq, instance in enumerate(("i1", "i2", "i1"), 1):
            beat = heartbeat(seq=seq, instance_id=instance, applied_revision=1, **common)
            await send(client, nats_root, beat)

        async def told() -> bool:
            points = (await api.json("GET", f"{path}/metrics"))["points"]
            return sum(point["received"] for point in points) == 10

        await eventually(told)
        gone: dict[str, Any] = {"connected": False, "connected_since": None, "connection_error": "<b>no</b>"}
        await send(client, nats_root, heartbeat(seq=9, instance_id="i2", **common, **gone))

        async def lost() -> bool:
            return (await api.json("GET", f"{path}/activity"))["activity"][0]["kind"] == "disconnected"

        await eventually(lost)
    for query in ("", f"?subscription_id={subscription}"):
        points = (await api.json("GET", f"{path}/metrics{query}"))["points"]
        totals = {name: sum(point[name] for point in points) for name in ("received", "executed", "failed")}
        assert totals == {"received": 10, "executed": 8, "failed": 2}
        measured = [point for point in points if point["p50"] is not None]
        assert all(0.025 <= point["p50"] <= 5 for point in measured)
        assert max(point["p99"] for point in measured) > 2.5
        assert max(point["connected_instances"] or 0 for point in points) == (0 if query else 2)
    entries = (await api.json("GET", f"{path}/activity"))["activity"]
    first = {name: value for name, value in entries[0].items() if name not in ("id", "at")}
    assert first == {
        "kind": "disconnected",
        "instance_id": "i2",
        "revision": None,
        "detail": "<b>no</b>",
        "changed_by": None,
    }
    kinds = [(entry["kind"], entry["instance_id"]) for entry in entries]
    assert {("started", "i1"), ("connected", "i2"), ("applied", "i1")} < set(kinds)
    last = entries[-1]
    assert (last["kind"], last["revision"], last["changed_by"]) == ("config_changed", 1, "administrator")


class Minutes:
    """Made-up minutes of a product, alike for subscription 1, over the last hours that are over."""

    def __init__(self, product: int, seed: int) -> None:
        rng = random.Random(seed)
        self.product = product
        self.end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
        self.start = self.end - HOURS * HOUR
        some = rng.sample(range(HOURS * 60), 80)
        edges = [60 * hour + minute for hour in range(1, HOURS) for minute in (0, 59)]
        self.counts = {
            self.start + timedelta(minutes=n): (rng.randrange(100), rng.randrange(5)) for n in some + edges
        }

    def insert(self) -> str:
        """The statement that stores them."""
        rows = (
            f"({self.product}, {subscription}, '{at.isoformat()}', {received}, '{{{received}}}', {connected})"
            for at, (received, connected) in self.counts.items()
            for subscription in (0, 1)
        )
        columns = "product_id, subscription_id, at, received, latency, connected_instances"
        return f"insert into mqtt_metrics_minute ({columns}) values {', '.join(rows)}"

    def by_hour(self) -> list[tuple[int, int]]:
        """What each hour must tell: messages, and the most instances."""
        hours = [list[tuple[int, int]]() for _ in range(HOURS)]
        for at, counts in self.counts.items():
            hours[(at - self.start) // HOUR].append(counts)
        return [(sum(r for r, _ in each), max((c for _, c in each), default=0)) for each in hours]


async def test_hours_and_minutes_meet_without_a_seam(api: Api, database_url: str, collector_url: str) -> None:
    """Whatever has been added up, forgotten, or not yet: each message counts once."""
    seed = random.randrange(2**32)
    minutes = Minutes(await api.configured(), seed)
    execute(database_url, minutes.insert())
    begin = f"from={minutes.start:%Y-%m-%dT%H:%M:%SZ}"

    async def read(step: int) -> list[tuple[int, int]]:
        path = f"/products/{minutes.product}/mqtt-config/metrics?{begin}&step={step}"
        answer = await api.json("GET", path)
        assert answer["resolution"] == ("hour" if step == 3600 else "minute")
        hours = [list[Any]() for _ in range(HOURS + 1)]
        for point in answer["points"]:
            hours[(datetime.fromisoformat(point["at"]) - minutes.start) // HOUR].append(point)
        return [
            (sum(each["received"] for each in hour), max(each["connected_instances"] for each in hour))
            for hour in hours[:HOURS]
        ]

    expected = minutes.by_hour()
    assert await read(3600) == await read(1800) == expected, seed
    async with Store.open(collector_url) as store:
        for back in (3 * 3600, 5 * 3600, 30 * 86_400):
            async with store.transaction() as transaction:
                await transaction.roll_up(back)
                assert await read(3600) == expected, (seed, back)
            assert await read(3600) == await read(1800) == expected, (seed, back)
    assert await fetch_value(database_url, "select count(*) from mqtt_metrics_hour") > HOURS
    execute(database_url, "delete from mqtt_metrics_rolled")
    assert await read(3600) == expected, seed
    old = minutes.end - 2 * HOUR
    execute(database_url, f"delete from mqtt_metrics_minute where at < '{old.isoformat()}'")
    assert await read(3600) == expected, seed
