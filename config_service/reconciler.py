"""Closes any difference between PostgreSQL and the bucket, whatever it came from."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from mqtt_shared import tasks
from mqtt_shared.bus import NatsError
from mqtt_shared.logs import get_logger

from .core.errors import UnavailableError
from .store import MovedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .publisher import BucketState, Link, Publisher
    from .store import Store
    from .usecases import Usecases

__all__ = ["Offers", "Reconciler"]

log = get_logger(__name__)

_AT_ONCE = 16
_GIVEN_SECONDS = 15.0
"""How long an instance may have a revision pending before its snapshot is offered again."""


class Offers:
    """When the snapshot of a product is offered again: less and less often while that does not help."""

    def __init__(self, first_seconds: float = 30, longest_seconds: float = 600) -> None:
        self._first = first_seconds
        self._longest = longest_seconds
        self._next = dict[int, tuple[float, float]]()

    def due(self, left_behind: Sequence[int], now: float) -> list[int]:
        """Which ones of the products that need it, at most a few at once; those that wait longest first."""
        self._next = {key: self._next.get(key, (0.0, self._first)) for key in left_behind}
        waiting = sorted(left_behind, key=lambda key: self._next[key])
        chosen = [key for key in waiting if self._next[key][0] <= now][:_AT_ONCE]
        for key in chosen:
            _, pause = self._next[key]
            self._next[key] = (now + pause, min(2 * pause, self._longest))
        return chosen


class Reconciler:
    """Looks every few seconds, and at each new connection to NATS.

    Cheap as long as nothing is wrong: one query for what is behind, one for the number of keys, one look at
    the bucket's state. Every key is compared at start, after each new connection, when the bucket was emptied
    or made anew, and once in `full_seconds`.
    """

    def __init__(
        self,
        store: Store,
        link: Link,
        publisher: Publisher,
        usecases: Usecases,
        *,
        interval_seconds: float = 3,
        full_seconds: float = 60,
    ) -> None:
        self._store = store
        self._link = link
        self._publisher = publisher
        self._usecases = usecases
        self._interval = interval_seconds
        self._full = full_seconds
        self._compared_at: float | None = None
        self._bucket: BucketState | None = None
        self._offers = Offers()

    async def run(self) -> None:
        """For ever."""
        while True:
            try:
                await self.reconcile()
            except (UnavailableError, MovedError, NatsError, TimeoutError) as error:
                log.debug("not reconciled", error=str(error) or repr(error))
            await self._pause()

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(self._interval):
                await self._link.back.wait()
        except TimeoutError:
            return

    async def reconcile(self) -> None:
        """One look.

        Raises:
            UnavailableError, NatsError: a server is away; the next look does what this one did not.
        """
        await self._end_previous_keys()
        if not self._link.is_up:
            return
        if self._link.back.is_set():
            self._link.back.clear()
            self._compared_at = None
        if await self._must_compare():
            await self._compare()
        else:
            await self._publish(await self._products("behind"))
        await self._offer_again()

    async def _must_compare(self) -> bool:
        # Counted first: a key that is published in between is then one too many, not one too few.
        keys = await self._store.value("count_published")
        state = await self._publisher.bucket_state()
        if state is None:
            await self._publisher.ensure_bucket()
            state = await self._publisher.bucket_state()
        before, self._bucket = self._bucket, state
        if self._compared_at is None or time.monotonic() - self._compared_at >= self._full:
            return True
        return state is None or before is None or state.created != before.created or state.keys < keys

    async def _compare(self) -> None:
        if await self._publish(await self._products("all_published")):
            self._compared_at = time.monotonic()

    async def _offer_again(self) -> None:
        """Put the snapshots anew that some instance has drifted from, or has pending for long."""
        left_behind = await self._store.one("left_behind", list[int], _GIVEN_SECONDS) or []
        due = self._offers.due(left_behind, time.monotonic())
        if due:
            log.info("offered again", product_ids=due)
            await self._publish(due, again=True)

    async def _publish(self, products: Sequence[int], *, again: bool = False) -> bool:
        at_once = asyncio.Semaphore(_AT_ONCE)

        async def publish(product_id: int) -> bool:
            async with at_once:
                return await self._publisher.publish(product_id, again=again)

        running = [asyncio.create_task(publish(product_id)) for product_id in products]
        try:
            return all(await asyncio.gather(*running))
        finally:
            await tasks.end(running)

    async def _end_previous_keys(self) -> None:
        for product_id in await self._products("products_done_with_previous_key"):
            await self._usecases.end_unused_key(product_id)

    async def _products(self, query: str) -> list[int]:
        return await self._store.one(query, list[int]) or []
