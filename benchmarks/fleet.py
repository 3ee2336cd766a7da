"""A collector and a simulated fleet: `python -m benchmarks.fleet rate|fleet`.

rate: heartbeats that wait, each of another boot, until they are committed, beside a bare NATS callback that
decodes and acknowledges them. fleet: INSTANCES report every INTERVAL seconds for SECONDS;
lag, memory, WAL, and who takes the CPU.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import aiohttp
import asyncpg
import click
import nats
from msgspec import Struct
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from config_service.migration import upgrade
from deploy.local.kept import free_port
from deploy.local.nats import Nats
from deploy.local.postgres import Postgres
from deploy.local.process import Guard
from mqtt_shared.messages import LATENCY_BOUNDS_SECONDS, Counters, Heartbeat, Latency, decode, encode
from mqtt_shared.subjects import Subjects
from status_collector.consumer import CONSUMER

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

SUBSCRIPTIONS = 10
_STARTED = datetime(2026, 1, 1, tzinfo=UTC)
_SUBJECTS = Subjects()


class Place(Struct):
    """The servers of one run."""

    database: Any
    database_url: str
    nats_url: str
    http_port: int
    collector: asyncio.subprocess.Process
    servers: dict[str, int]
    """Process ids by name."""


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
    fleet = [(i % products + 1, head(i % products + 1, i, interval or 3600)) for i in range(instances)]
    subjects = [
        _SUBJECTS.heartbeat(i % products + 1, f"instance-{i:06}", f"0197f0a0-1111-7000-8000-{i:012}")
        for i in range(instances)
    ]
    began = time.perf_counter()
    step = max(1, instances // 250) if interval else 500
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


async def _simulated(place: Place, *arguments: object) -> asyncio.subprocess.Process:
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
    place = Place(database, database_url, nats_url, port, process, pids)
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
    found = re.findall(r"^status_collector_(\w+) ([0-9.e+]+)$", text, re.MULTILINE)
    return {name: float(value) for name, value in found} | {"ready": ready}


async def counted(place: Place, client: Any, least: int) -> float:
    """When everything is committed and acknowledged; the sum of all heartbeat numbers is `least` then."""
    while True:
        info = await client.jetstream().consumer_info(_SUBJECTS.heartbeat_stream, CONSUMER)
        if not info.num_pending and not info.num_ack_pending:
            break
        await asyncio.sleep(0.02)
    at = time.perf_counter()
    total = await place.database.fetchval("select sum(seq) from mqtt_instances")
    if total != least:
        raise RuntimeError(f"{total} of {least} heartbeats are counted")
    return at


async def rate(instances: int, products: int) -> None:
    """Heartbeats per second of a collector and of a bare callback, in turns."""
    async with serve(products) as place, connected(place) as client:
        await (await _simulated(place, instances, products, 1, 1, 0)).wait()
        await counted(place, client, instances)
        ours: list[float] = []
        bare: list[float] = []
        for number in range(2, 5):
            place.collector.send_signal(signal.SIGSTOP)
            await (await _simulated(place, instances, products, number, 1, 0)).wait()
            began = time.perf_counter()
            place.collector.send_signal(signal.SIGCONT)
            used = _ticks(place.collector.pid)
            ours.append(instances / (await counted(place, client, instances * number) - began))
            used = (_ticks(place.collector.pid) - used) / instances * 10_000
            await asyncio.sleep(1)
            bare.append(await _bare(place, client, instances))
            ratio = ours[-1] / bare[-1]
            print(
                f"ours {ours[-1]:,.0f}/s  bare {bare[-1]:,.0f}/s  ratio {ratio:.2f}  collector {used:.0f} us",
                flush=True,
            )


@contextlib.asynccontextmanager
async def connected(place: Place) -> AsyncGenerator[Any]:
    """A client of NATS."""
    client: Any = await cast("Any", nats).connect(place.nats_url)
    try:
        yield client
    finally:
        await client.close()


async def _bare(place: Place, client: Any, instances: int) -> float:
    """What a callback does that decodes and acknowledges."""
    heard = 0
    done = asyncio.Event()

    async def received(message: Any) -> None:
        nonlocal heard
        decode(message.data, Heartbeat)
        await message.ack()
        heard += 1
        if heard == instances:
            done.set()

    config = ConsumerConfig(
        deliver_policy=DeliverPolicy.ALL, ack_policy=AckPolicy.EXPLICIT, max_ack_pending=20_000
    )
    began = time.perf_counter()
    subscription = await client.jetstream().subscribe(
        _SUBJECTS.heartbeats,
        stream=_SUBJECTS.heartbeat_stream,
        cb=received,
        manual_ack=True,
        config=config,
        pending_msgs_limit=100_000,
        pending_bytes_limit=512 * 2**20,
    )
    await asyncio.wait_for(done.wait(), 60)
    took = time.perf_counter() - began
    await subscription.unsubscribe()
    return instances / took


async def fleet(instances: int, products: int, interval: float, seconds: float) -> None:
    """One line each 10 seconds: what is committed and waiting; ages, memory, WAL, dead rows, CPU."""
    async with serve(products) as place:
        rounds = int(seconds / interval)
        simulator = await _simulated(place, instances, products, 1, rounds, interval)
        pids = {"simulator": simulator.pid, "collector": place.collector.pid, **place.servers}
        before = await figures(place)
        lsn = await place.database.fetchval("select pg_current_wal_lsn()")
        ticks, at = {name: _ticks(pid) for name, pid in pids.items()}, time.perf_counter()
        while simulator.returncode is None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(simulator.wait(), 10)
            now = await figures(place)
            row = await place.database.fetchrow(
                "select count(*), extract(epoch from percentile_cont(0.99) within group (order by"
                " clock_timestamp() - last_heartbeat_at)), count(*) filter (where state = 'stale'),"
                " pg_wal_lsn_diff(pg_current_wal_lsn(), $1),"
                " (select sum(n_dead_tup) from pg_stat_user_tables) from mqtt_instances",
                lsn,
            )
            ticks_now, at_now = {name: _ticks(pid) for name, pid in pids.items()}, time.perf_counter()
            took = at_now - at
            cpu = " ".join(f"{name} {(ticks_now[name] - ticks[name]) / took:.0f} %" for name in pids)
            done = {name: now[name] - before.get(name, 0) for name in now}
            rows, flushes = done["flush_boots_sum"], max(1, done["flush_duration_seconds_count"])
            print(
                f"instances {row[0]:,} received {done['heartbeats_received_total'] / took:,.0f}/s"
                f" committed {rows / took:,.0f}/s flush {rows / flushes:,.0f} boots"
                f" {done['flush_duration_seconds_sum'] / flushes * 1000:,.0f} ms"
                f" lag {now['consumer_lag']:,.0f}"
                f" age p99 {float(row[1] or 0):.1f} s stale {row[2]} memory {_memory(place.collector.pid)} MB"
                f" WAL {float(row[3]) / max(1, rows):,.0f} B/row dead {row[4]:,.0f} CPU: {cpu}",
                flush=True,
            )
            at = at_now
            before, ticks = now, ticks_now
            lsn = await place.database.fetchval("select pg_current_wal_lsn()")


def _memory(pid: int) -> int:
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) // 1024 if found else 0


def _ticks(pid: int) -> float:
    """CPU seconds of a process and its children, in hundredths."""
    found = _stat(pid)
    if found is None:
        return 0
    ticks = sum(found[11:15])
    for each in Path("/proc").glob("[0-9]*"):
        child = _stat(int(each.name))
        if child is not None and child[1] == pid:
            ticks += sum(child[11:13])
    return ticks * 100 / os.sysconf("SC_CLK_TCK")


def _stat(pid: int) -> list[int] | None:
    """The numbers after the name and the state; none: it has ended."""
    try:
        parts = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return None
    return [0, *map(int, parts[1:])]


@click.group()
def main() -> None:
    """Measure a collector."""


@main.command("simulate", hidden=True)
@click.argument("url")
@click.argument("numbers", nargs=4, type=int)
@click.argument("interval", type=float)
def _simulate(url: str, numbers: tuple[int, int, int, int], interval: float) -> None:
    asyncio.run(simulate(url, *numbers, interval))


@main.command("rate")
@click.option("--instances", default=20_000)
@click.option("--products", default=200)
def _rate(instances: int, products: int) -> None:
    asyncio.run(rate(instances, products))


@main.command("fleet")
@click.option("--instances", default=100_000)
@click.option("--products", default=1_000)
@click.option("--interval", default=5.0)
@click.option("--seconds", default=300.0)
def _fleet(instances: int, products: int, interval: float, seconds: float) -> None:
    asyncio.run(fleet(instances, products, interval, seconds))


if __name__ == "__main__":
    main()
