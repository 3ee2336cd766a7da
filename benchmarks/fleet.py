"""A collector and a simulated fleet that reports for some minutes: `python -m benchmarks.fleet`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sys
import tempfile
import time
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import aiohttp
import asyncpg
import click
import nats
from msgspec import Struct

from config_service.migration import upgrade
from deploy.local.kept import free_port
from deploy.local.nats import Nats
from deploy.local.postgres import Postgres
from deploy.local.process import Guard
from mqtt_shared.messages import LATENCY_BOUNDS_SECONDS, Counters, Heartbeat, Latency, encode
from mqtt_shared.subjects import Subjects

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

SUBSCRIPTIONS = 10
_PAUSE_SECONDS = 0.02
_STARTED = datetime(2026, 1, 1, tzinfo=UTC)
_SUBJECTS = Subjects()


class Place(Struct):
    """The servers of one run."""

    products: int
    database: Any
    database_url: str
    nats_url: str
    http_port: int
    collector: asyncio.subprocess.Process
    servers: dict[str, int]
    """Process ids by name."""

    def cpu_seconds(self) -> dict[str, float]:
        """CPU time of each process and its children until now."""
        pids = {"collector": self.collector.pid, **self.servers}
        return {name: _cpu_seconds(pid) for name, pid in pids.items()}


def bodies(product: int, number: int) -> bytes:
    """The counters of all instances of a product in round `number`: every subscription has moved."""
    n = 10 * number
    latency = [min(n, i * n // 5) for i in range(len(LATENCY_BOUNDS_SECONDS) + 1)]
    counted = Counters(
        messages_received=n, actions_executed=n, last_message_at=datetime.now(UTC), latency=latency
    )
    first = (product - 1) * SUBSCRIPTIONS + 1
    each = b",".join(b'"%d":%s' % (first + i, encode(counted)) for i in range(SUBSCRIPTIONS))
    return b'"seq":%d,"counters":{%s}}' % (number, each)


def head(product: int, instance: int, interval: float) -> bytes:
    """The part of a heartbeat that stays the same."""
    at = _STARTED
    beat = Heartbeat(
        product_id=product,
        instance_id=f"instance-{instance:06}",
        boot_id=f"0197f0a0-1111-7000-8000-{instance:012}",
        seq=0,
        sent_at=at,
        interval=interval,
        started_at=at,
        version="1.0.0",
        host=f"host-{instance}.example.com",
        connected=True,
        connected_since=at,
        client_id=f"client-{instance}",
        broker_info={"host": "broker.example.com", "port": 1883, "protocol": "5"},
        applied_revision=1,
        applied_digest="d" * 64,
        subscribed_topics_count=SUBSCRIPTIONS,
        latency=Latency(counts=[5] * 15),
        action_types=["http_webhook", "smtp_email", "mqtt_publish"],
        key_id="k1",
    )
    text = encode(beat).replace(b'"seq":0,', b"").replace(b'"counters":{},', b"")
    return text[:-1] + b","


async def simulate(url: str, instances: int, products: int, first: int, rounds: int, interval: float) -> None:
    """Send `rounds` heartbeats of each instance, one round in each interval; 0: as fast as possible."""
    client: Any = await cast("Any", nats).connect(url, pending_size=64 * 2**20)
    # Whoever sends as fast as possible sends seldom, and is not to be taken for silent meanwhile.
    told = max(interval, 1) if interval else 3600
    fleet = [(i % products + 1, head(i % products + 1, i, told)) for i in range(instances)]
    subjects = [
        _SUBJECTS.heartbeat(i % products + 1, f"instance-{i:06}", f"0197f0a0-1111-7000-8000-{i:012}")
        for i in range(instances)
    ]
    began = time.perf_counter()
    step = max(1, int(instances * _PAUSE_SECONDS / interval)) if interval else 500
    for number in range(first, first + rounds):
        tails = {product: bodies(product, number) for product in range(1, products + 1)}
        for start in range(0, instances, step):
            for i in range(start, min(start + step, instances)):
                product, text = fleet[i]
                await client.publish(subjects[i], text + tails[product])
            if interval:
                due = began + (number - first + start / instances) * interval
                await asyncio.sleep(max(0, due - time.perf_counter()))
            else:
                await client.flush(60)
    await client.flush(60)
    await client.close()


async def simulated(place: Place, *arguments: object) -> asyncio.subprocess.Process:
    """A process that does what `simulate` does."""
    words = [str(each) for each in arguments]
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.fleet", "simulate", place.nats_url, *words
    )


@contextlib.asynccontextmanager
async def serve(products: int) -> AsyncGenerator[Place]:
    """PostgreSQL that waits for the disk, NATS, one collector, and products."""
    with tempfile.TemporaryDirectory(prefix="fleet-") as name:
        base = Path(name)
        base.chmod(0o711)
        guard = Guard()
        postgres = Postgres(base / "postgres", guard, free_port(), base / "postgres.log")
        server = Nats(base / "nats", guard, free_port(), base / "nats.log")
        for each in (postgres, server):
            each.start()
        try:
            pids = {"nats": server.process.pid, "postgresql": postgres.process.pid}
            async with _collector(base, postgres.url(), server.url, products, pids) as place:
                yield place
        finally:
            server.stop()
            postgres.stop()
            guard.close()


@contextlib.asynccontextmanager
async def _collector(
    base: Path, database_url: str, nats_url: str, products: int, pids: dict[str, int]
) -> AsyncGenerator[Place]:
    await asyncio.to_thread(upgrade, database_url)
    database: Any = await cast("Any", asyncpg).connect(database_url)
    for statement in (
        "insert into products (name, product_key, product_key_id)"
        " select 'p' || n, 'k', 'k' from generate_series(1, $1::int) n order by n",
        "insert into mqtt_configs (product_id, broker_host, revision)"
        " select n, 'broker.example.com', 1 from generate_series(1, $1::int) n order by n",
        "insert into mqtt_config_revisions (product_id, revision, changed_by, action, digest)"
        " select n, 1, 'bench', 'created', repeat('d', 64) from generate_series(1, $1::int) n",
        "insert into mqtt_subscriptions (mqtt_config_id, name)"
        f" select n, 's' || s from generate_series(1, $1::int) n, generate_series(1, {SUBSCRIPTIONS}) s"
        " order by n, s",
    ):
        await database.execute(statement, products)
    port = free_port()
    environment = {"DATABASE_URL": database_url, "NATS_URL": nats_url, "HTTP_PORT": str(port)}
    with (base / "collector.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "status_collector",
            env={**os.environ, **environment, "LOG_LEVEL": "warning"},
            stdout=log,
            stderr=log,
        )
    place = Place(products, database, database_url, nats_url, port, process, pids)
    try:
        async with asyncio.timeout(30):
            while not await figures(place):
                await asyncio.sleep(0.1)
            while (await figures(place)).get("ready") != 1:
                await asyncio.sleep(0.1)
        yield place
    finally:
        await database.close()
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def figures(place: Place) -> dict[str, float]:
    """The collector's metrics, and `ready`; empty while it is not there."""
    url = f"http://127.0.0.1:{place.http_port}"
    try:
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{url}/metrics") as answer:
                text = await answer.text()
            async with session.get(f"{url}/readyz") as answer:
                ready = float(answer.ok)
    except aiohttp.ClientError:
        return {}
    sums: dict[str, float] = defaultdict(float)
    for name, value in re.findall(r"^status_collector_(\w+)(?:{.*})? ([0-9.e+]+)$", text, re.MULTILINE):
        sums[name] += float(value)
    return {**sums, "ready": ready}


async def fleet(instances: int, products: int, interval: float, seconds: float) -> None:
    """One line each 10 seconds: what is committed and waiting; ages, memory, WAL, dead rows, CPU."""
    async with serve(products) as place:
        simulator = await simulated(place, instances, products, 1, int(seconds / interval), interval)
        place.servers["simulator"] = simulator.pid
        before = await _look(place)
        while simulator.returncode is None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(simulator.wait(), 10)
            now = await _look(place)
            print(_line({name: now[name] - before.get(name, 0) for name in now}, now), flush=True)
            before = now


async def _look(place: Place) -> dict[str, float]:
    row = await place.database.fetchrow(
        "select count(*)::float as instances, count(*) filter (where state = 'stale')::float as stale,"
        " coalesce(extract(epoch from percentile_cont(0.99) within group"
        " (order by clock_timestamp() - last_heartbeat_at)), 0)::float as age,"
        " (pg_current_wal_lsn() - '0/0')::float as wal,"
        " (select sum(n_dead_tup) from pg_stat_user_tables)::float as dead from mqtt_instances"
    )
    cpu = {f"cpu {name}": seconds for name, seconds in place.cpu_seconds().items()}
    memory = _memory(place.collector.pid)
    return {**await figures(place), **row, **cpu, "memory": memory, "at": time.perf_counter()}


def _line(done: dict[str, float], now: dict[str, float]) -> str:
    took, rows = done["at"], max(1, done["flush_boots_sum"])
    flushes = max(1, done["flush_duration_seconds_count"])
    cpu = ", ".join(f"{name[4:]} {done[name] / took:.0%}" for name in now if name.startswith("cpu "))
    return (
        f"{now['instances']:,.0f} instances, {done['heartbeats_received_total'] / took:,.0f}/s received,"
        f" {rows / took:,.0f}/s committed by {rows / flushes:,.0f}"
        f" in {done['flush_duration_seconds_sum'] / flushes * 1000:,.0f} ms; {now['consumer_lag']:,.0f} wait,"
        f" age p99 {now['age']:.1f} s, {now['stale']:.0f} stale; {now['memory']:.0f} MB;"
        f" {done['wal'] / rows:,.0f} B WAL each, {now['dead']:,.0f} dead rows; CPU: {cpu}"
    )


def _memory(pid: int) -> int:
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) // 1024 if found else 0


def _cpu_seconds(pid: int) -> float:
    """Of a process and its children, also those that have ended; 0 when it has ended itself."""
    found = _stat(pid)
    if found is None:
        return 0
    ticks = sum(found[11:15])
    for each in Path("/proc").glob("[0-9]*"):
        child = _stat(int(each.name))
        if child is not None and child[1] == pid:
            ticks += sum(child[11:13])
    return ticks / os.sysconf("SC_CLK_TCK")


def _stat(pid: int) -> list[int] | None:
    """The numbers after the name and the state (proc(5)); none: it has ended."""
    try:
        parts = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return None
    return [0, *map(int, parts[1:])]


@click.group(invoke_without_command=True)
@click.option("--instances", default=100_000)
@click.option("--products", default=1_000)
@click.option("--interval", default=5.0, help="Seconds between two heartbeats of an instance.")
@click.option("--seconds", default=300.0)
@click.pass_context
def main(context: click.Context, instances: int, products: int, interval: float, seconds: float) -> None:
    """Run a collector under the heartbeats of INSTANCES in PRODUCTS."""
    if context.invoked_subcommand is None:
        asyncio.run(fleet(instances, products, interval, seconds))


@main.command("simulate", hidden=True)
@click.argument("url")
@click.argument("numbers", nargs=4, type=int)
@click.argument("interval", type=float)
def _simulate(url: str, numbers: tuple[int, int, int, int], interval: float) -> None:
    asyncio.run(simulate(url, *numbers, interval))


if __name__ == "__main__":
    main()
