"""How fast a collector takes heartbeats, beside a bare NATS callback that only decodes them.

`python -m benchmarks.collect` measures these rows alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import statistics
import time
from typing import TYPE_CHECKING, Any, cast

import click
import nats
from msgspec import structs
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from mqtt_shared.messages import Heartbeat, decode
from mqtt_shared.subjects import Subjects
from status_collector.consumer import CONSUMER

from .figures import Figure, ratio_figure, table
from .fleet import Place, figures, serve, simulated

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

__all__ = ["measure"]

_ROUNDS = int(os.environ.get("ROUNDS", "5"))
_INSTANCES = 20_000
_PRODUCTS = 200
_FEW = 250
_FEW_INTERVAL = 0.05
_BEATS = 100
"""Of each of the few."""
_REPORTING = 1_000
_SUBJECTS = Subjects()


async def measure() -> list[Figure]:
    """Every heartbeat of another boot, several of each boot, and a flush in fleets of several sizes."""
    async with _fleet(_INSTANCES, _PRODUCTS) as (place, client):
        found = [await _of_other_boots(place, client), await _of_few_boots(place, client)]
    for products in (100, 1):
        floor = await _flushes(_REPORTING, products)
        for instances in (10_000, 100_000):
            ours = await _flushes(instances, products)
            name = f"flush of {_REPORTING:,} heartbeats, {instances:,} instances, products: {products}"
            found.append(ratio_figure(name, ours, floor, unit="ms", at_most=1.5))
    return found


async def _of_other_boots(place: Place, client: Any) -> Figure:
    """Heartbeats that wait, one of each boot: every one is a row to be written."""
    ours: list[float] = []
    bare: list[float] = []
    cpu: list[dict[str, float]] = []
    for number in range(2, 2 + _ROUNDS):
        place.collector.send_signal(signal.SIGSTOP)
        await _send(place, _INSTANCES, number, 1)
        used, began = place.cpu_seconds(), time.perf_counter()
        place.collector.send_signal(signal.SIGCONT)
        await _counted(place, client, _INSTANCES * number)
        ours.append(_INSTANCES / (time.perf_counter() - began))
        spent = {name: now - used[name] for name, now in place.cpu_seconds().items()}
        used, began = {"itself": time.process_time()}, time.perf_counter()
        async with _bare(client, DeliverPolicy.ALL) as taken:
            await taken.all()
        bare.append(_INSTANCES / (time.perf_counter() - began))
        cpu.append({**spent, "bare": time.process_time() - used["itself"]})
    figure = ratio_figure("heartbeats, each of another boot", ours, bare, unit="/s", at_least=0.5)
    each = {name: f"{statistics.median(one[name] for one in cpu) / _INSTANCES * 1e6:.0f}" for name in cpu[0]}
    floor = f"{figure.floor}, {each.pop('bare')} µs CPU"
    spent = ", ".join(f"{name} {used}" for name, used in each.items())
    return structs.replace(figure, ours=f"{figure.ours}, µs CPU: {spent}", floor=floor)


async def _of_few_boots(place: Place, client: Any) -> Figure:
    """Several heartbeats of each boot between two flushes, which write one row for them.

    The stream keeps the last one of each boot only, so they cannot wait there: they come at a rate that both
    sides keep up with, and the CPU time counts.
    """
    ours: list[float] = []
    bare: list[float] = []
    others = (_INSTANCES - _FEW) * (1 + _ROUNDS)
    number = 1 + _ROUNDS
    for _ in range(_ROUNDS):
        received, used = (await figures(place))["heartbeats_received_total"], place.cpu_seconds()
        async with _bare(client, DeliverPolicy.NEW) as taken:
            itself = time.process_time()
            await _send(place, _FEW, number + 1, _BEATS, _FEW_INTERVAL)
            count = await taken.all()
            bare.append(count / (time.process_time() - itself))
        number += _BEATS
        await _counted(place, client, others + _FEW * number)
        received = (await figures(place))["heartbeats_received_total"] - received
        ours.append(received / (place.cpu_seconds()["collector"] - used["collector"]))
    return ratio_figure(
        "heartbeats, several of each boot in a flush", ours, bare, unit="per CPU second", at_least=0.5
    )


async def _flushes(instances: int, products: int) -> list[float]:
    """Milliseconds that a fleet's collector flushes when some of it report, in each round."""
    found: list[float] = []
    async with _fleet(instances, products) as (place, client):
        for number in range(2, 2 + _ROUNDS):
            before = await figures(place)
            place.collector.send_signal(signal.SIGSTOP)
            await _send(place, _REPORTING, number, 1)
            place.collector.send_signal(signal.SIGCONT)
            await _counted(place, client, instances + _REPORTING * (number - 1))
            name = "flush_duration_seconds_sum"
            found.append(((await figures(place))[name] - before[name]) * 1000)
    return found


@contextlib.asynccontextmanager
async def _fleet(instances: int, products: int) -> AsyncGenerator[tuple[Place, Any]]:
    """A collector that knows so many instances."""
    async with serve(products) as place, _connected(place) as client:
        await _send(place, instances, 1, 1)
        await _counted(place, client, instances)
        yield place, client


async def _send(place: Place, instances: int, first: int, rounds: int, interval: float = 0) -> None:
    await (await simulated(place, instances, place.products, first, rounds, interval)).wait()


async def _counted(place: Place, client: Any, least: int) -> None:
    """Wait until all is committed and acknowledged; the sum of all `seq` tells whether it is."""
    while True:
        info = await client.jetstream().consumer_info(_SUBJECTS.heartbeat_stream, CONSUMER)
        if not info.num_pending and not info.num_ack_pending:
            break
        await asyncio.sleep(0.02)
    total = await place.database.fetchval("select sum(seq) from mqtt_instances")
    if total != least:
        raise RuntimeError(f"{total} of {least} heartbeats are counted")


@contextlib.asynccontextmanager
async def _connected(place: Place) -> AsyncGenerator[Any]:
    client: Any = await cast("Any", nats).connect(place.nats_url)
    try:
        yield client
    finally:
        await client.close()


class _Taken:
    """What a bare callback has decoded."""

    def __init__(self) -> None:
        self.count = 0
        self.subscription: Any = None

    async def take(self, message: Any) -> None:
        decode(message.data, Heartbeat)
        self.count += 1

    async def all(self) -> int:
        """How many there were, once there are no more."""
        while True:
            info = await self.subscription.consumer_info()
            if not info.num_pending and self.count >= info.delivered.consumer_seq:
                return self.count
            await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def _bare(client: Any, policy: DeliverPolicy) -> AsyncGenerator[_Taken]:
    taken = _Taken()
    taken.subscription = await client.jetstream().subscribe(
        _SUBJECTS.heartbeats,
        stream=_SUBJECTS.heartbeat_stream,
        cb=taken.take,
        manual_ack=True,
        config=ConsumerConfig(deliver_policy=policy, ack_policy=AckPolicy.NONE),
        pending_msgs_limit=200_000,
        pending_bytes_limit=512 * 2**20,
    )
    try:
        yield taken
    finally:
        await taken.subscription.unsubscribe()


@click.command()
def main() -> None:
    """Measure a collector."""
    click.echo(table(asyncio.run(measure())))


if __name__ == "__main__":
    main()
