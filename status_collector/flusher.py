"""One flush: lock, merge, write, commit; only then acknowledge, then tell."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from functools import reduce
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING

from msgspec import Struct, field

from mqtt_shared.logs import get_logger
from mqtt_shared.messages import StatusChanged

from .cache import Cache, Known
from .core.history import Minute, minute_of
from .core.merge import merge, without
from .core.model import BootKey, Change, Counters, Heard, InstanceKey, Status, StoredBoot
from .core.tally import Sums, plus
from .errors import RefusedError, UnavailableError
from .recompute import recompute, with_totals

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from .buffer import Batch, Buffer
    from .drops import Drops
    from .metrics import Metrics
    from .store import Store, Transaction

__all__ = ["Flusher"]

log = get_logger(__name__)

_RETRY_SECONDS = 0.5
_MOST_CACHED = 150_000
_MOST_SUBSCRIPTIONS = 500_000


class Flushed(Struct):
    """What one transaction did, to be told once it is committed."""

    changed: list[StatusChanged] = field(default_factory=list[StatusChanged])
    dropped: list[tuple[str, InstanceKey, str]] = field(default_factory=list[tuple[str, InstanceKey, str]])
    merged: int = 0
    """Heartbeats."""
    counted: list[Counters] = field(default_factory=list[Counters])
    """What the total of each product gained."""


class Flusher:
    """Brings the buffer into the database, again and again until it is there."""

    problem: str | None = None
    """Why the last flush failed; none when it did not."""

    def __init__(
        self,
        buffer: Buffer,
        store: Store,
        publish: Callable[[StatusChanged], Awaitable[None]],
        acknowledge: Callable[[Iterable[str]], Awaitable[None]],
        drops: Drops,
        metrics: Metrics,
    ) -> None:
        self._acknowledge = acknowledge
        self._buffer = buffer
        self._store = store
        self._publish = publish
        self._drops = drops
        self._metrics = metrics
        self._one_at_a_time = asyncio.Lock()
        self._subscriptions: dict[int, int] = {}
        self.cache = Cache(_MOST_CACHED)

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
                flushed = await self._apply(sorted(batch.heard.values(), key=attrgetter("key.product_id")))
            except UnavailableError as error:
                self._buffer.put_back(batch)
                self._failed(str(error))
                return False
            self._succeeded(batch, time.monotonic() - started, flushed)
            self._buffer.done()
            await self._acknowledge(batch.acknowledge.values())
        await self._tell(flushed)
        return True

    def _failed(self, problem: str) -> None:
        self._metrics.errors.labels("flush").inc()
        if self.problem is None:
            log.warning("flush failed; trying again until it is done", error=problem)
        self.problem = problem

    def _succeeded(self, batch: Batch, seconds: float, all_flushed: Iterable[Flushed]) -> None:
        metrics, size = self._metrics, len(batch.heard)
        metrics.flush_size.observe(size)
        metrics.flush_seconds.observe(seconds)
        metrics.flushed_at.set_to_current_time()
        metrics.folded.inc(batch.folded)
        for flushed in all_flushed:
            metrics.merged.inc(flushed.merged)
            for counted in flushed.counted:
                metrics.messages.inc(counted.messages_received)
                metrics.actions.labels("executed").inc(counted.actions_executed)
                metrics.actions.labels("failed").inc(counted.actions_failed)
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
            owners = await self._owners(transaction, _subscriptions(heard))
            groups: dict[InstanceKey, list[Heard]] = defaultdict(list)
            for each in _own(heard, statuses, owners, flushed):
                groups[each.key.instance].append(each)
            known = await self._known(transaction, groups, statuses)
            now = await transaction.clock()
            changes = await _merged(transaction, groups, known, now)
            written = await transaction.write(changes, known)
            gained, in_products = _sums(changes, owners)
            totals = await transaction.add_to_subscriptions(gained)
            recomputed = await recompute(transaction, statuses, changes, now)
            minute = minute_of(now)
            await transaction.add_to_minutes(
                [
                    *_product_minutes(in_products, recomputed, minute),
                    *_subscription_minutes(gained, owners, totals, minute),
                ]
            )
            flushed.changed = with_totals(recomputed, totals, owners)
        flushed.merged, flushed.counted = sum(map(len, groups.values())), list(in_products.values())
        self._committed(statuses, transaction.writer, recomputed, written)
        return flushed

    async def _owners(self, transaction: Transaction, subscriptions: set[int]) -> dict[int, int]:
        """The product of each subscription that exists or did; that never changes."""
        unknown = subscriptions - self._subscriptions.keys()
        if unknown:
            if len(self._subscriptions) > _MOST_SUBSCRIPTIONS:
                self._subscriptions = {}
                unknown = subscriptions
            self._subscriptions |= await transaction.owners(unknown)
        return self._subscriptions

    async def _known(
        self, transaction: Transaction, keys: Iterable[InstanceKey], statuses: Mapping[int, Status]
    ) -> dict[InstanceKey, Known]:
        """How the instances are stored: from memory, where that is proven to be right, else read."""
        known: dict[InstanceKey, Known] = {}
        unknown: list[InstanceKey] = []
        for product_id, wanted in groupby(keys, key=itemgetter(0)):
            kept = self.cache.instances(product_id, statuses[product_id].writer)
            for key in wanted:
                if (one := kept.get(key.instance_id)) is None:
                    unknown.append(key)
                else:
                    known[key] = one
        if unknown:
            known |= await transaction.instances(unknown)
        return known

    def _committed(
        self,
        statuses: Mapping[int, Status],
        writer: int,
        told: Iterable[StatusChanged],
        written: Mapping[InstanceKey, Known],
    ) -> None:
        by_product: dict[int, dict[str, Known | None]] = {each.product_id: {} for each in told}
        for key, known in written.items():
            by_product[key.product_id][key.instance_id] = known
        for product_id, changed in by_product.items():
            self.cache.committed(product_id, statuses[product_id].writer, writer, changed)


def _own(
    heard: Iterable[Heard], statuses: Mapping[int, Status], owners: Mapping[int, int], flushed: Flushed
) -> Iterable[Heard]:
    """What may be counted: of products that exist, without subscriptions of other products."""
    found: dict[tuple[int, tuple[int, ...]], list[int]] = {}
    for each in heard:
        key = each.key
        if key.product_id not in statuses:
            flushed.dropped.append(("product_gone", key.instance, "no such product"))
            continue
        told = (key.product_id, each.tally.subscriptions)
        foreign = found.get(told)
        if foreign is None:
            foreign = found[told] = [
                sub for sub in told[1] if owners.get(sub, key.product_id) != key.product_id
            ]
        if foreign:
            detail = f"counters of another product's subscriptions: {foreign[:10]}"
            flushed.dropped.append(("subscription_foreign", key.instance, detail))
            yield without(each, foreign)
        else:
            yield each


def _subscriptions(heard: Iterable[Heard]) -> set[int]:
    """Those that are told of."""
    found: set[int] = set()
    return found.union(*{each.tally.subscriptions for each in heard})


async def _merged(
    transaction: Transaction,
    groups: Mapping[InstanceKey, Sequence[Heard]],
    known: Mapping[InstanceKey, Known],
    now: datetime,
) -> list[Change]:
    """The changes of the instances that change."""
    clock = time.monotonic()
    former = await _former(transaction, groups, known)
    changes = (
        _change(key, known.get(key), former.get(key, {}), group, now, clock) for key, group in groups.items()
    )
    return [change for change in changes if change.boots]


async def _former(
    transaction: Transaction,
    groups: Mapping[InstanceKey, Sequence[Heard]],
    known: Mapping[InstanceKey, Known],
) -> dict[InstanceKey, dict[str, StoredBoot]]:
    """The stored boots among those heard of that are not the current one of their instance."""
    others: list[BootKey] = []
    for key, group in groups.items():
        current = known[key].instance.boot_id if key in known else None
        others += (each.key for each in group if each.key.boot_id != current)
    former: dict[InstanceKey, dict[str, StoredBoot]] = defaultdict(dict)
    for key, boot in (await transaction.boots(others)).items():
        former[key.instance][key.boot_id] = boot
    return former


def _change(
    key: InstanceKey,
    stored: Known | None,
    boots: dict[str, StoredBoot],
    group: Sequence[Heard],
    now: datetime,
    clock: float,
) -> Change:
    if stored is None:
        return merge(key, None, boots, group, now, clock)
    boots[stored.instance.boot_id] = stored.boot
    return merge(key, stored.instance, boots, group, now, clock)


def _sums(
    changes: Iterable[Change], owners: Mapping[int, int]
) -> tuple[dict[int, Counters], dict[int, Counters]]:
    """What each subscription and each product gained.

    What one that no longer exists counted stands in the total of the product only.
    """
    sums = Sums()
    for change in changes:
        for gain in change.gained:
            sums.add(change.key.product_id, gain)
    gained: dict[int, Counters] = {}
    in_products: dict[int, Counters] = {}
    for product_id, counters in sums.counters().items():
        gained |= {key: counted for key, counted in counters.items() if key in owners}
        in_products[product_id] = reduce(plus, counters.values(), Counters())
    return gained, in_products


def _product_minutes(
    in_products: Mapping[int, Counters], recomputed: Iterable[StatusChanged], minute: datetime
) -> Iterable[Minute]:
    """Of each product that was heard, also when it counted nothing: its instances were connected."""
    for each in recomputed:
        yield Minute(
            product_id=each.product_id,
            at=minute,
            counted=in_products.get(each.product_id, Counters()),
            connected_instances=each.status.instances.connected if each.status.instances else 0,
        )


def _subscription_minutes(
    gained: Mapping[int, Counters], owners: Mapping[int, int], existing: Collection[int], minute: datetime
) -> Iterable[Minute]:
    for subscription, counted in sorted(gained.items()):
        if subscription in existing:
            yield Minute(
                product_id=owners[subscription],
                subscription_id=subscription,
                at=minute,
                counted=counted,
            )
