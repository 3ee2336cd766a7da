"""Looks for instances that fell silent, and cleans up what has been silent for long."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from mqtt_shared.logs import get_logger

from .core.liveness import Attention
from .core.model import Change
from .errors import StoreError
from .flusher import recompute

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mqtt_shared.messages import StatusChanged

    from .metrics import Metrics
    from .store import Store

__all__ = ["Sweeper"]

log = get_logger(__name__)

_CLEANING_SECONDS = 600.0
_LONGEST_GAP_SECONDS = 5.0


class Sweeper:
    """Marks instances stale while heartbeats come through (`hearing`)."""

    problem: str | None = "not connected yet"
    """Why the last sweep failed; none when it did not."""

    def __init__(
        self,
        store: Store,
        hearing: Callable[[], bool],
        publish: Callable[[StatusChanged], Awaitable[None]],
        retention_seconds: float,
        metrics: Metrics,
    ) -> None:
        self._store = store
        self._hearing = hearing
        self._publish = publish
        self._retention = retention_seconds
        self._metrics = metrics
        self._attention = Attention(_LONGEST_GAP_SECONDS)
        self._clean_at = 0.0

    async def run(self, interval_seconds: float) -> None:
        """Sweep for ever."""
        self._attention = Attention(_LONGEST_GAP_SECONDS + 2 * interval_seconds)
        while True:
            await self.sweep()
            await asyncio.sleep(interval_seconds)

    async def sweep(self) -> bool:
        """Mark, recompute, tell; clean now and then. False when the database is away."""
        try:
            changed = await self._mark()
            await self._clean()
        except StoreError as error:
            self._attention.lose()
            self._failed(str(error))
            return False
        if self.problem is not None:
            log.info("PostgreSQL is there")
        self.problem = None
        for each in changed:
            await self._publish(each)
        return True

    def _failed(self, problem: str) -> None:
        if problem != self.problem:
            log.warning("PostgreSQL cannot be used; trying again until it can", error=problem)
        self.problem = problem

    async def _mark(self) -> list[StatusChanged]:
        async with self._store.transaction() as transaction:
            now = await transaction.clock()
            # With nobody listening nothing can be stale; the statement still proves that the schema is there.
            since = self._attention.observe(hearing=self._hearing(), now=now) or now
            products = await transaction.products_with_stale(since)
            if not products:
                return []
            statuses = await transaction.lock(products)
            marked = await transaction.mark_stale(since, statuses)
            changes = [Change(key=key, affects_status=True) for key in marked]
            changed = await recompute(transaction, statuses, changes, now)
        self._metrics.stale.inc(len(marked))
        return changed

    async def _clean(self) -> None:
        if time.monotonic() < self._clean_at:
            return
        async with self._store.transaction() as transaction:
            await transaction.clean(self._retention)
        self._clean_at = time.monotonic() + _CLEANING_SECONDS
