"""Every snapshot that NATS has reaches the instance, also one that was on its way while it connected."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from random import Random
from typing import TYPE_CHECKING

from product_instance.watcher import Bus, Watcher
from tests.support.proxy import TcpProxy
from tests.support.waiting import eventually

from .conftest import PRODUCT, Control

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from nats.js.api import RawStreamMsg

    from deploy.local.nats import Nats


class Slow(Random):
    """Has the watcher pause for as long as it ever does."""

    def uniform(self, a: float, b: float) -> float:
        return max(a, b)


class CountingBus(Bus):
    """Counts the gets that were answered."""

    gets = 0

    async def request_last(self, stream: str, subject: str) -> RawStreamMsg | None:
        found = await super().request_last(stream, subject)
        self.gets += 1
        return found


_GETS = 3
"""At each connect."""


@asynccontextmanager
async def watching(url: str, control: Control) -> AsyncGenerator[tuple[CountingBus, list[bytes]]]:
    """A watcher that looks by itself only every ten minutes, and what it has handed over."""
    seen: list[bytes] = []
    bus = CountingBus(url, "watcher")
    watcher = Watcher(
        bus, control.subjects, PRODUCT, random=Slow(), refresh_seconds=600, on_snapshot=seen.append
    )
    await bus.connect()
    running = asyncio.create_task(watcher.run())
    try:
        yield bus, seen
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await bus.close()


async def test_what_is_stored_just_after_the_connect_is_not_missed(control: Control) -> None:
    await control.prepare_unheard()
    async with watching(control.url, control) as (bus, seen):
        await eventually(lambda: bus.gets == _GETS - 1)
        assert not seen
        await control.put_unheard(b"one")
        await eventually(lambda: seen)
    assert (seen, bus.gets) == ([b"one"], _GETS)


async def test_what_is_stored_just_after_a_reconnect_is_not_missed(
    control: Control, nats_server: Nats
) -> None:
    await control.prepare_unheard()
    async with (
        TcpProxy.before(nats_server.url) as proxy,
        watching(proxy.through(nats_server.url), control) as (bus, seen),
    ):
        await eventually(lambda: bus.gets == _GETS)
        proxy.cut()
        await eventually(lambda: bus.gets == _GETS + 1)
        await control.put_unheard(b"one")
        await eventually(lambda: seen)
    assert seen[0] == b"one"


async def test_a_change_comes_by_itself_once_the_gets_are_over(control: Control) -> None:
    async with watching(control.url, control) as (bus, seen):
        await eventually(lambda: bus.gets == _GETS)
        await control.put_raw(b"one")
        await eventually(lambda: seen)
    assert (seen, bus.gets) == ([b"one"], _GETS)
