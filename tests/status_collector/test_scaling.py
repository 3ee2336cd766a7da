"""Five collectors share the work by configuration alone, while they come and go."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

from status_collector.consumer import REQUEST_SECONDS
from tests.support.processes import read
from tests.support.waiting import eventually

from .support import Database, Fleet, consumer_info, send

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable

    from nats.aio.client import Client

    from deploy.local.process import Process
    from tests.support.processes import Processes


async def received(port: int) -> float:
    """How many heartbeats the collector has had so far."""
    text = await asyncio.to_thread(read, port, "/metrics")
    samples = [
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "status_collector_heartbeats_received_total"
    ]
    assert len(samples) == 1
    return samples[0]


class Reporting:
    """Fleets of several products that report, and what became of it."""

    def __init__(self, client: Client, root: str, database: Database, fleets: list[Fleet]) -> None:
        self._client, self._root, self._database = client, root, database
        self._fleets = fleets

    async def report(self, steps: int) -> None:
        """Some rounds of heartbeats."""
        for _ in range(steps):
            for beat in (beat for fleet in self._fleets for beat in fleet.step()):
                await send(self._client, self._root, beat)
            await self._client.flush()
            await asyncio.sleep(0.01)  # the pace of the fleet

    async def all_share(self, ports: Iterable[int]) -> bool:
        """Report until each of these collectors has had heartbeats that it had not before."""
        before = {port: await received(port) for port in ports}

        async def have_more() -> bool:
            await self.report(3)
            return all([await received(port) > had for port, had in before.items()])

        return await eventually(have_more)

    async def end(self) -> None:
        """What every running boot reports in the end."""
        for beat in (beat for fleet in self._fleets for beat in fleet.last()):
            await send(self._client, self._root, beat)

    async def is_exact(self) -> bool:
        """Are the totals those of the reference? They may never be more."""
        for fleet in self._fleets:
            wanted, totals = fleet.totals(), await self._database.totals(fleet.product)
            if any(totals[key] > wanted[key] for key in wanted):
                raise RuntimeError(f"counted twice: {totals}, not {wanted}")
            if totals != wanted or await self._database.received(fleet.product) != sum(wanted.values()):
                return False
        return True


async def test_five_share_the_work_one_is_killed_one_leaves_and_one_joins(
    environment: dict[str, str], processes: Processes, database: Database, client: Client, nats_root: str
) -> None:
    products = [await database.product(f"p{number}") for number in range(3)]
    fleets = [Fleet(*product, size=20, seed=number) for number, product in enumerate(products)]
    fleet = Reporting(client, nats_root, database, fleets)
    del environment["HTTP_PORT"]

    def start() -> Coroutine[None, None, tuple[Process, int]]:
        return processes.serve("status_collector", environment=environment)

    five = await asyncio.gather(*(start() for _ in range(5)))
    assert await fleet.all_share(port for _, port in five)

    (killed, _), (leaving, _), *staying = five
    await fleet.report(2)
    killed.signal(signal.SIGKILL)
    await fleet.report(2)
    leaving.signal(signal.SIGTERM)
    joined = await start()
    assert await fleet.all_share(port for _, port in [*staying, joined])
    assert await asyncio.to_thread(leaving.wait, 10)
    assert leaving.returncode == 0
    await fleet.end()
    await eventually(fleet.is_exact, 25)


async def test_one_that_is_frozen_is_dealt_no_more(
    environment: dict[str, str], processes: Processes, database: Database, client: Client, nats_root: str
) -> None:
    product, subscriptions = await database.product("lamps", 3)
    reporting = Reporting(client, nats_root, database, [Fleet(product, subscriptions, size=20, seed=1)])
    environment["REDELIVERY_SECONDS"] = "300"
    del environment["HTTP_PORT"]
    (frozen, _), (_, port) = await asyncio.gather(
        *(processes.serve("status_collector", environment=environment) for _ in range(2))
    )

    async def two_wait() -> bool:
        return (await consumer_info(client, nats_root)).num_waiting == 2

    async def one_waits() -> bool:
        return (await consumer_info(client, nats_root)).num_waiting == 1

    async def all_acknowledged() -> bool:
        return (await consumer_info(client, nats_root)).num_ack_pending == 0

    await eventually(two_wait)
    frozen.freeze()
    # Nobody waits also while the other one asks anew: what was asked before must be over.
    await asyncio.sleep(REQUEST_SECONDS + 1)
    await eventually(one_waits)
    before = await received(port)
    await reporting.report(5)
    await reporting.end()
    await eventually(reporting.is_exact)
    # It is not redelivered in the time of this test. Acknowledging follows the commit.
    await eventually(all_acknowledged)
    assert await received(port) > before
    frozen.thaw()
    assert await reporting.all_share([port])
    await reporting.end()
    await eventually(reporting.is_exact)
