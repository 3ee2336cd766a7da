"""Looks for instances that fell silent and configurations that moved, cleans up, and adds up the history."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from msgspec import structs

from mqtt_shared.logs import get_logger

from .core.liveness import Attention
from .core.model import Change
from .errors import StoreError
from .recompute import recompute

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from mqtt_shared.messages import StatusChanged

    from .cache import Cache, Known
    from .clock import Clock
    from .core.model import InstanceKey, Status
    from .metrics import Metrics
    from .settings import Retention
    from .store import Store

__all__ = ["Sweeper"]

log = get_logger(__name__)

_LONGEST_GAP_SECONDS = 5.0
_LOOK_BACK_SECONDS = 60.0
"""A change of a configuration is dated by the beginning of its transaction, and seen at its commit."""
_SHARE = 0.05
"""Looking through all instances may take this share of the time."""
_DAY = 86_400.0
_ROLL_UP_SECONDS = 28 * _DAY
"""For older hours there may be no partition any more."""


class Due:
    """Says when something is due again."""

    def __init__(self, every_seconds: float) -> None:
        self._every = every_seconds
        self._at = 0.0

    def is_due(self) -> bool:
        """Is it?"""
        return time.monotonic() >= self._at

    def done(self, took_seconds: float = 0) -> None:
        """It has been done; what takes long is done less often."""
        self._at = time.monotonic() + max(self._every, took_seconds / _SHARE)


class Sweeper:
    """Marks instances stale while heartbeats come through (`hearing`)."""

    problem: str | None = "not connected yet"
    """Why the last sweep failed; none when it did not."""

    def __init__(
        self,
        store: Store,
        cache: Cache,
        clock: Clock,
        hearing: Callable[[], bool],
        publish: Callable[[StatusChanged], Awaitable[None]],
        retention: Retention,
        metrics: Metrics,
    ) -> None:
        self._store = store
        self._cache = cache
        self._clock = clock
        self._hearing = hearing
        self._publish = publish
        self._retention = retention
        self._metrics = metrics
        self._attention = Attention(_LONGEST_GAP_SECONDS)
        self._marking, self._comparing = Due(0), Due(600)
        self._partitions, self._rolling, self._cleaning = Due(3600), Due(60), Due(600)

    async def run(self, interval_seconds: float) -> None:
        """Sweep for ever."""
        self._attention = Attention(_LONGEST_GAP_SECONDS + 2 * interval_seconds)
        while True:
            await self.sweep()
            await asyncio.sleep(interval_seconds)

    async def sweep(self) -> bool:
        """Do what is due, and tell. False when the database is away."""
        try:
            await self._keep_partitions()
            changed = [*await self._follow(), *await self._mark()]
            for each in changed:
                await self._publish(each)
            await self._roll_up()
            await self._clean()
        except StoreError as error:
            self._attention.lose()
            self._metrics.errors.labels("sweep").inc()
            self._failed(str(error))
            return False
        if self.problem is not None:
            log.info("PostgreSQL is there")
        self.problem = None
        return True

    def _failed(self, problem: str) -> None:
        if problem != self.problem:
            log.warning("PostgreSQL cannot be used; trying again until it can", error=problem)
        self.problem = problem

    async def _keep_partitions(self) -> None:
        if not self._partitions.is_due():
            return
        keep = self._retention
        tables = (
            ("mqtt_activity", "day", keep.activity),
            ("mqtt_metrics_minute", "day", keep.minutes),
            ("mqtt_metrics_hour", "month", keep.hours),
        )
        for table, unit, seconds in tables:
            async with self._store.transaction() as transaction:
                await transaction.keep_partitions(table, unit, seconds)
        self._partitions.done()

    async def _follow(self) -> list[StatusChanged]:
        """Count the instances of products anew whose desired revision has moved."""
        all_of_them = self._comparing.is_due()
        async with self._store.transaction() as transaction:
            products = await transaction.moved(None if all_of_them else _LOOK_BACK_SECONDS)
            changed: list[StatusChanged] = []
            statuses: dict[int, Status] = {}
            if products:
                statuses = await transaction.lock(products)
                changed = await recompute(transaction, statuses, [], await transaction.clock())
        self._committed(statuses, transaction.writer, changed)
        if all_of_them:
            self._comparing.done()
        return changed

    async def _mark(self) -> list[StatusChanged]:
        started = time.monotonic()
        async with self._store.transaction() as transaction:
            now = await transaction.clock()
            self._clock.set(now, time.monotonic())
            # With nobody listening nothing can be stale.
            since = self._attention.observe(hearing=self._hearing(), now=now)
            if since is None or not self._marking.is_due():
                return []
            products = await transaction.products_with_stale(since)
            self._marking.done(time.monotonic() - started)
            if not products:
                return []
            statuses = await transaction.lock(products)
            marked = await transaction.mark_stale(since, statuses)
            changes = [
                Change(key=key, before=structs.replace(after, state="live"), after=after)
                for key, after in marked.items()
            ]
            changed = await recompute(transaction, statuses, changes, now)
        self._committed(statuses, transaction.writer, changed, marked)
        self._metrics.stale.inc(len(marked))
        return changed

    async def _roll_up(self) -> None:
        if self._rolling.is_due():
            async with self._store.transaction() as transaction:
                await transaction.roll_up(min(self._retention.minutes - _DAY, _ROLL_UP_SECONDS))
            self._rolling.done()

    async def _clean(self) -> None:
        if not self._cleaning.is_due():
            return
        async with self._store.transaction() as transaction:
            await transaction.delete_old_boots(self._retention.boots)
        while await self._clean_some_instances():
            pass
        self._cleaning.done()

    async def _clean_some_instances(self) -> bool:
        async with self._store.transaction() as transaction:
            products = await transaction.products_with_old(self._retention.instances)
            if not products:
                return False
            statuses = await transaction.lock(products)
            gone = await transaction.delete_old_instances(self._retention.instances, statuses)
            changes = [Change(key=key, before=before) for key, before in gone.items()]
            changed = await recompute(transaction, statuses, changes, await transaction.clock())
        self._committed(statuses, transaction.writer, changed, gone)
        for each in changed:
            await self._publish(each)
        return True

    def _committed(
        self,
        statuses: Mapping[int, Status],
        writer: int,
        told: Iterable[StatusChanged],
        changed: Iterable[InstanceKey] = (),
    ) -> None:
        by_product: dict[int, dict[str, Known | None]] = {each.product_id: {} for each in told}
        for key in changed:
            by_product[key.product_id][key.instance_id] = None
        for product_id, instances in by_product.items():
            self._cache.committed(product_id, statuses[product_id].writer, writer, instances)
