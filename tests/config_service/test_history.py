"""Figures over time and activity: the pure parts, and the endpoints on what a collector has written."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import asyncpg
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from config_service.core.history import EARLIEST, MOST_POINTS, Bucket, Range, Window, percentile, points
from config_service.store import queries
from mqtt_shared.messages import LATENCY_BOUNDS_SECONDS
from tests.support.servers import execute

from .http import Api, serving, settings

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    from deploy.local.nats import Nats

NOW = datetime(2026, 1, 31, 8, 0, 30, tzinfo=UTC)
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
_BUCKETS = len(LATENCY_BOUNDS_SECONDS) + 1
_TIMES = st.datetimes(datetime(2000, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis takes none
_asyncpg: Any = asyncpg


@pytest.fixture
async def api(database_url: str, nats_server: Nats, nats_root: str) -> AsyncGenerator[Api]:
    async with serving(settings(database_url, nats_server.url, nats_root)) as api:
        yield api


@given(st.lists(st.integers(0, 40), max_size=_BUCKETS), st.integers(1, 100))
def test_percentiles_are_those_of_messages_that_lie_evenly(counts: list[int], hundredths: int) -> None:
    """The reference lays out every message and counts up to the rank."""
    laid_out = list[float]()
    for number, (lower, upper) in zip(counts, pairwise((0.0, *LATENCY_BOUNDS_SECONDS)), strict=False):
        laid_out += [lower + (upper - lower) * (place + 1) / number for place in range(number)]
    laid_out += [LATENCY_BOUNDS_SECONDS[-1]] * sum(counts[_BUCKETS - 1 :])
    found = percentile(counts, hundredths / 100)
    if not laid_out:
        assert found is None
        return
    assert found is not None
    rank, rest = divmod(hundredths * len(laid_out), 100)
    if not rest:
        assert found == pytest.approx(laid_out[rank - 1], abs=1e-6)
    else:
        before = laid_out[rank - 1] if rank else 0.0
        assert before - 1e-6 <= found <= laid_out[rank] + 1e-6


def test_percentiles_of_a_few() -> None:
    assert percentile([0, 0, 0, 0, 0, 0, 10], 0.5) == pytest.approx(0.075)
    assert percentile([0] * 14 + [3], 0.5) == 30.0
    assert percentile([], 0.5) is None
    assert percentile([0] * 15, 0.99) is None


@given(_TIMES, _TIMES, st.none() | st.integers(60, 400 * 86_400), _TIMES)
def test_every_range_has_few_points_that_cover_it(
    one: datetime, other: datetime, step: int | None, minutes_since: datetime
) -> None:
    assume(one != other)
    asked, now = Range(start=min(one, other), end=max(one, other), step_seconds=step), max(one, other)
    if list(asked.faults(now)):
        assert step
        return
    window = asked.window(now, minutes_since)
    found = points(window, [], of_product=True)
    assert 1 <= len(found) <= MOST_POINTS
    assert window.start <= min(one, other) < window.start + timedelta(seconds=window.step_seconds)
    assert window.end - timedelta(seconds=window.step_seconds) < now <= window.end
    assert all(each.at.timestamp() % window.step_seconds == 0 for each in found)
    assert window.is_hourly or min(one, other) >= minutes_since


@pytest.mark.parametrize(
    ("hours", "step"),
    [(1, 60), (4.9, 60), (6, 120), (24, 300), (7 * 24, 3600), (30 * 24, 10_800), (8760, 172_800)],
)
def test_steps_of_usual_ranges(hours: float, step: int) -> None:
    asked = Range(start=NOW - timedelta(hours=hours), end=NOW)
    assert asked.window(NOW, LONG_AGO).step_seconds == step


def test_what_lies_ahead_is_not_shown() -> None:
    window = Range(end=NOW + timedelta(days=3)).window(NOW, LONG_AGO)
    assert (window.start, window.end) == (NOW.replace(hour=7, second=0), NOW.replace(minute=1, second=0))


def test_a_range_before_the_minutes_has_hours() -> None:
    asked = Range(start=NOW - timedelta(hours=2), end=NOW, step_seconds=60)
    window = asked.window(NOW, NOW - timedelta(hours=1))
    assert (window.step_seconds, window.is_hourly) == (3600, True)
    assert len(points(window, [], of_product=True)) == 3


def test_gaps_are_zeros() -> None:
    at = NOW.replace(second=0)
    window = Window(start=at - timedelta(minutes=1), end=at + timedelta(minutes=1), step_seconds=60)
    bucket = Bucket(at, 5, 4, 1, [5], 2)
    gap, point = points(window, [bucket], of_product=True)
    assert (gap.received, gap.p50, gap.connected_instances) == (0, None, 0)
    assert (point.received, point.p99, point.connected_instances) == (5, pytest.approx(0.00099), 2)
    assert [each.connected_instances for each in points(window, [bucket], of_product=False)] == [None, None]


async def test_metrics(api: Api, database_url: str) -> None:
    product = await api.configured()
    path = f"/products/{product}/mqtt-config"
    subscription = (await api.json("POST", f"{path}/subscriptions", {"name": "paid"}, 201))["id"]
    execute(
        database_url,
        f"""
        insert into mqtt_metrics_minute (
            product_id, subscription_id, at, received, executed, failed, latency, connected_instances
        )
        select {product}, s, date_trunc('minute', now()) - m * interval '1 minute', m + s, m, 1,
            '{{0,0,0,0,0,10}}', case when s = 0 then m end
        from unnest(array[2, 3, 59, 62]) m, unnest(array[0, {subscription}]) s
        """,
    )
    found = await api.json("GET", f"{path}/metrics")
    assert (found["product_id"], found["subscription_id"]) == (product, None)
    assert (found["step_seconds"], found["resolution"]) == (60, "minute")
    assert len(found["points"]) == 61
    as_of, start, end = (datetime.fromisoformat(found[name]) for name in ("as_of", "from", "to"))
    assert end - timedelta(minutes=1) < as_of <= end
    assert (found["points"][0]["at"], end - start) == (found["from"], timedelta(minutes=61))
    spoken = {n: point for n, point in enumerate(reversed(found["points"])) if point["received"]}
    assert list(spoken) == [2, 3, 59]
    expected = {"received": 3, "executed": 3, "failed": 1, "connected_instances": 3}
    expected |= {"p50": 0.0375, "p95": 0.04875, "p99": 0.04975}
    assert spoken[3] == {"at": spoken[3]["at"], **expected}
    wide = await api.json("GET", f"{path}/metrics?step=600&subscription_id={subscription}")
    assert wide["subscription_id"] == subscription
    assert 7 <= len(wide["points"]) <= 8
    assert sum(point["executed"] for point in wide["points"]) in (64, 126)
    assert {point["connected_instances"] for point in wide["points"]} == {None}
    for kept in ("from=2025-01-31T00:00:00Z", f"from={quote('2020-02-29T01:00:00+01:00')}"):
        long = await api.json("GET", f"{path}/metrics?{kept}")
        assert len(long["points"]) <= MOST_POINTS
        assert sum(point["executed"] for point in long["points"]) == 126
    stranger = await api.token_for("viewer", [await api.product("other")])
    assert (await stranger.call("GET", f"{path}/metrics")).status == 403
    assert (await stranger.call("GET", f"{path}/activity")).status == 403
    assert (await api.call("GET", "/products/77/mqtt-config/metrics")).status == 404


async def test_faults_of_a_range_are_told_at_once(api: Api) -> None:
    product, other = await api.configured("one"), await api.configured("other")
    body = {"name": "paid"}
    foreign = (await api.json("POST", f"/products/{other}/mqtt-config/subscriptions", body, 201))["id"]
    path = f"/products/{product}/mqtt-config/metrics"
    malformed = f"{path}?from=yesterday&to=2026-01-31&step=1&subscription_id=x"
    assert await api.faults("GET", malformed) == dict.fromkeys(
        ["query.from", "query.to", "query.step", "query.subscription_id"], "invalid_parameter"
    )
    senseless = (
        f"{path}?from=2026-01-31T08:00:00Z&to=1999-01-31T07:00:00Z&step=3601&subscription_id={foreign}"
    )
    assert await api.faults("GET", senseless) == {
        "query.to": "too_small",
        "query.from": "order",
        "query.step": "not_a_multiple",
        "query.subscription_id": "unknown_subscription",
    }
    too_many = f"{path}?from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00Z&step=60"
    problem = await api.json("GET", too_many, status=422)
    assert [fault["loc"] for fault in problem["errors"]] == [["query", "step"]]
    assert "take 300 or more" in problem["errors"][0]["msg"]
    assert (await api.call("GET", too_many.replace("step=60", "step=300"))).status == 200
    assert await api.faults("GET", f"{path}?from=2099-01-01T00:00:00Z") == {"query.from": "order"}
    assert await api.faults("GET", f"{path}?to=0001-01-01T00:00:00%2B14:00") == {
        "query.to": "invalid_parameter"
    }


async def test_activity_pages_while_more_happens(api: Api, database_url: str) -> None:
    """Every entry that was there at the beginning is told once, in order, whatever is added meanwhile."""
    product = await api.product()
    path = f"/products/{product}/mqtt-config/activity"

    def add(kind: str, ago: str, number: int) -> None:
        execute(
            database_url,
            f"""
            insert into mqtt_activity (product_id, instance_id, kind, at, detail)
            select {product}, 'i' || n, '{kind}', date_trunc('minute', now()) - {ago}, null
            from generate_series(1, {number}) n
            """,
        )

    # Many of one time, beside changes of that time.
    add("connected", "interval '5 minutes'", 7)
    add("started", "interval '6 minutes'", 2)
    execute(
        database_url,
        f"""
        insert into mqtt_config_revisions (product_id, revision, changed_at, changed_by, action, digest)
        select {product}, n, date_trunc('minute', now()) - interval '5 minutes', 'ann', 'update', 'd'
        from generate_series(1, 5) n
        """,
    )
    whole = (await api.json("GET", path))["activity"]
    assert [entry["kind"] for entry in whole] == ["config_changed"] * 5 + ["connected"] * 7 + ["started"] * 2
    assert [entry["revision"] for entry in whole[:5]] == [5, 4, 3, 2, 1]
    assert len({entry["id"] for entry in whole}) == 14
    for limit in (1, 2, 3, 5):
        seen, cursor = list[Any](), ""
        while cursor is not None:
            page = await api.json("GET", f"{path}?limit={limit}{cursor and f'&cursor={cursor}'}")
            seen += page["activity"]
            cursor = page["next_cursor"]
            add("live", "interval '1 minute'", 1)
        assert [entry for entry in seen if entry["kind"] != "live"] == whole
    at = datetime.fromisoformat(whole[0]["at"])
    before = f"{path}?to={at.isoformat()[:-6]}Z"
    assert (await api.json("GET", before))["activity"] == whole[-2:]
    since = f"{path}?from={at.isoformat()[:-6]}Z&limit=4"
    page = await api.json("GET", since)
    assert page["next_cursor"]
    assert {
        entry["kind"] for entry in (await api.json("GET", f"{path}?from={at.isoformat()[:-6]}Z"))["activity"]
    } == {
        "config_changed",
        "connected",
        "live",
    }
    for bad in ("x", "1.i", "1.z3", "-1.i3", "9" * 18 + ".i1", "1.i1 "):
        assert await api.faults("GET", f"{path}?cursor={bad}") == {"query.cursor": "cursor"}
    assert await api.faults("GET", f"{path}?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z") == {
        "query.from": "order"
    }
    assert (await api.call("GET", f"/products/{product + 1}/mqtt-config/activity")).status == 404


async def test_a_page_of_activity_is_read_from_indexes(api: Api, database_url: str) -> None:
    """Of 100,000 rows of each kind, those of the page are read and no more."""
    product = await api.product()
    execute(
        database_url,
        f"""
        insert into mqtt_activity (product_id, instance_id, kind, at)
        select {product}, 'i', 'live', now() - n * interval '1 second' from generate_series(1, 80000) n
        where now() - n * interval '1 second' >= date_trunc('day', now()) - interval '1 day'
        """,
        f"""
        insert into mqtt_activity (product_id, instance_id, kind, at)
        select {product}, 'i', 'live', now() from generate_series(1, 20000) n
        """,
        f"""
        insert into mqtt_config_revisions (product_id, revision, changed_at, changed_by, action, digest)
        select {product}, n, now() - (100000 - n) * interval '1 second', 'ann', 'update', 'd'
        from generate_series(1, 100000) n
        """,
        "analyze mqtt_activity",
        "analyze mqtt_config_revisions",
    )
    connection = await _asyncpg.connect(database_url)
    try:
        await connection.execute("set plan_cache_mode = force_generic_plan")
        now = datetime.now(UTC)
        for at in (now + timedelta(days=900), now - timedelta(minutes=30)):
            explained = await connection.fetchval(
                f"explain (analyze, format json) {queries()['list_activity']}",
                *(product, at, 2**62, 2**62, EARLIEST, 101),
            )
            rows = list(_rows_read(json.loads(explained)[0]["Plan"]))
            assert rows
            assert max(rows) <= 101, explained
    finally:
        await connection.close()
    page = await api.json("GET", f"/products/{product}/mqtt-config/activity?limit=1000")
    assert len(page["activity"]) == 1000


def _rows_read(plan: dict[str, Any]) -> Iterator[int]:
    if "Relation Name" in plan:
        assert plan["Node Type"].startswith("Index"), plan
        yield plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)
    for inner in plan.get("Plans", []):
        yield from _rows_read(inner)
