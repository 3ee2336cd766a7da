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

    from deploy.local.nats import Nats


@asynccontextmanager
async def watching(url: str, control: Control) -> AsyncGenerator[tuple[Watcher, list[bytes]]]:
    """A watcher that looks by itself only every ten minutes, and what it has handed over."""
    seen: list[bytes] = []
    bus = Bus(url, "watcher")
    watcher = Watcher(
        bus, control.subjects, PRODUCT, random=Random(1), refresh_seconds=600, on_snapshot=seen.append
    )
    await bus.connect()
    running = asyncio.create_task(watcher.run())
    try:
        yield watcher, seen
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await bus.close()


async def test_what_is_stored_just_after_the_connect_is_not_missed(control: Control) -> None:
    async with watching(control.url, control) as (watcher, seen):
        await watcher.answered.wait()
        assert not seen
        await control.put_unheard(b"one")
        await eventually(lambda: seen)
    assert seen[0] == b"one"


async def test_what_is_stored_just_after_a_reconnect_is_not_missed(
    control: Control, nats_server: Nats
) -> None:
    async with (
        TcpProxy.before(nats_server.url) as proxy,
        watching(proxy.through(nats_server.url), control) as (watcher, seen),
    ):
        await control.put_raw(b"one")
        await eventually(lambda: seen)
        # The gets of the first connect are over.
        await asyncio.sleep(8)
        watcher.answered.clear()
        proxy.cut()
        await asyncio.wait_for(watcher.answered.wait(), 15)
        assert seen[-1] == b"one"
        await control.put_unheard(b"two")
        await eventually(lambda: seen[-1] == b"two")
