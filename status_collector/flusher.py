"""One flush: lock, merge, write, commit; only then acknowledge, then tell."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from typing import TYPE_CHECKING

from msgspec import Struct, field

from mqtt_shared.logs import get_logger
from mqtt_shared.messages import Counters, StatusChanged

from .core.history import Minute, minute_of
from .core.merge import add, merge, without
from .core.model import Change, Heard, InstanceKey, Status
from .errors import RefusedError, UnavailableError
from .recompute import recompute, with_totals

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from .buffer import Buffer
    from .drops import Drops
    from .metrics import Metrics
    from .store import Store, Transaction

__all__ = ["Flusher"]

log = get_logger(__name__)

_RETRY_SECONDS = 0.5


class Flushed(Struct):
    """What one transaction did, to be told once it is committed."""

    changed: list[StatusChanged] = field(default_factory=list[StatusChanged])
    dropped: list[tuple[str, InstanceKey, str]] = field(default_factory=list[tuple[str, InstanceKey, str]])


class Flusher:
    """Brings the buffer into the database, again and again until it is there."""

    problem: str | None = None
    """Why the last flush failed; none when it did not."""

    def __init__(
        self,
        buffer: Buffer,
        store: Store,
        publish: Callable[[StatusChanged], Awaitable[None]],
        drops: Drops,
        metrics: Metrics,
    ) -> None:
        self._buffer = buffer
        self._store = store
        self._publish = publish
        self._drops = drops
        self._metrics = metrics
        self._one_at_a_time = asyncio.Lock()

    async def run(self, interval_seconds: float) -> None:
        """Flush for ever."""
        while True:
            await self._buffer.due(interval_seconds)
            if not await self.flush():
                await asyncio.sleep(_RETRY_SECONDS)

    async def flush(self) -> bool:
        """Flush what waits; false when the database is away, and then all of it goes on waiting.

        Killed at any point, nothing is lost or counted twice: what is not committed is not acknowledged and
        comes again; what is committed and not acknowledged comes again and adds nothing.
        """
        async with self._one_at_a_time:
            batch = self._buffer.take()
            if not batch.heard:
                return True
            started = time.monotonic()
            try:
                flushed = await self._apply(sorted(batch.heard.values(), key=lambda heard: heard.key))
            except UnavailableError as error:
                self._buffer.put_back(batch)
                self._failed(str(error))
                return False
            self._succeeded(len(batch.heard), time.monotonic() - started)
            for acknowledge in batch.acknowledge.values():
                await acknowledge()
            self._buffer.done()
        await self._tell(flushed)
        return True

    def _failed(self, problem: str) -> None:
        self._metrics.flush_failures.inc()
        if self.problem is None:
            log.warning("flush failed; trying again until it is done", error=problem)
        self.problem = problem

    def _succeeded(self, size: int, seconds: float) -> None:
        self._metrics.flush_size.observe(size)
        self._metrics.flush_seconds.observe(seconds)
        if self.problem is not None:
            log.info("flushing again", boots=size)
        self.problem = None

    async def _tell(self, all_flushed: Iterable[Flushed]) -> None:
        for flushed in all_flushed:
            for reason, key, detail in flushed.dropped:
                self._drops.count(reason, f"{key.product_id}.{key.instance_id}", detail)
            for changed in flushed.changed:
                await self._publish(changed)

    async def _apply(self, heard: Sequence[Heard]) -> list[Flushed]:
        """Store all; a value that the database refuses is found by halving and left out alone."""
        try:
            return [await self._transact(heard)]
        except RefusedError as error:
            if len(heard) == 1:
                return [Flushed(dropped=[("refused", heard[0].key.instance, str(error))])]
        middle = len(heard) // 2
        return [*await self._apply(heard[:middle]), *await self._apply(heard[middle:])]

    async def _transact(self, heard: Sequence[Heard]) -> Flushed:
        flushed = Flushed()
        async with self._store.transaction() as transaction:
            statuses = await transaction.lock(each.key.product_id for each in heard)
            owners = await transaction.owners({key for each in heard for key in each.counters})
            known = list(_own(heard, statuses, owners, flushed))
            now = await transaction.clock()
            changes = await _merged(transaction, known, now)
            await transaction.write(changes)
            gained = _by_subscription(changes, owners)
            existing = await transaction.add_to_subscriptions(gained)
            recomputed = await recompute(transaction, statuses, changes, now)
            await transaction.add_to_minutes(
                [
                    *_product_minutes(changes, recomputed, now),
                    *_subscription_minutes(gained, owners, existing, now),
                ]
            )
            totals = await transaction.subscription_totals(existing)
            flushed.changed = with_totals(recomputed, totals, owners)
        return flushed


def _own(
    heard: Iterable[Heard], statuses: Mapping[int, Status], owners: Mapping[int, int], flushed: Flushed
) -> Iterable[Heard]:
    """What may be counted: of products that exist, without subscriptions of other products."""
    for each in heard:
        key = each.key
        if key.product_id not in statuses:
            flushed.dropped.append(("product_gone", key.instance, "no such product"))
            continue
        foreign = [sub for sub in each.counters if owners.get(sub, key.product_id) != key.product_id]
        if foreign:
            detail = f"counters of another product's subscriptions: {foreign[:10]}"
            flushed.dropped.append(("subscription_foreign", key.instance, detail))
        yield without(each, foreign)


async def _merged(transaction: Transaction, heard: Iterable[Heard], now: datetime) -> list[Change]:
    """The changes of the instances that change, ordered by key."""
    groups: dict[InstanceKey, list[Heard]] = defaultdict(list)
    for each in heard:
        groups[each.key.instance].append(each)
    instances = await transaction.instances(list(groups))
    boots = await transaction.boots([each.key for group in groups.values() for each in group])
    clock = time.monotonic()
    changes = (
        merge(key, instances.get(key), boots.get(key, {}), group, now, clock) for key, group in groups.items()
    )
    return [change for change in changes if change.boots]


def _by_subscription(changes: Iterable[Change], owners: Mapping[int, int]) -> dict[int, Counters]:
    """What each subscription that still exists gained; the rest stands in the total of the product only."""
    gained: dict[int, Counters] = {}
    for change in changes:
        for subscription, counted in change.gained.items():
            if subscription in owners:
                gained[subscription] = add(gained.get(subscription, Counters()), counted)
    return gained


def _product_minutes(
    changes: Iterable[Change], recomputed: Iterable[StatusChanged], now: datetime
) -> Iterable[Minute]:
    """Of each product that was heard, also when it counted nothing: its instances were connected."""
    totals: dict[int, Counters] = defaultdict(Counters)
    for change in changes:
        totals[change.key.product_id] = add(totals[change.key.product_id], change.total)
    for each in recomputed:
        connected = each.status.instances.connected if each.status.instances else 0
        yield Minute(
            product_id=each.product_id,
            at=minute_of(now),
            counted=totals[each.product_id],
            connected_instances=connected,
        )


def _subscription_minutes(
    gained: Mapping[int, Counters], owners: Mapping[int, int], existing: Collection[int], now: datetime
) -> Iterable[Minute]:
    for subscription, counted in sorted(gained.items()):
        if subscription in existing:
            yield Minute(
                product_id=owners[subscription],
                subscription_id=subscription,
                at=minute_of(now),
                counted=counted,
            )
