"""Heard and stored to new counters, and what the totals gain. The heart of exact counting.

A total is a grow-only counter keyed by instance, boot and subscription: merging takes the maximum, and only
what the maximum rises by is added to the totals, in the transaction that stores the maximum.
"""

from __future__ import annotations

from datetime import timedelta
from itertools import zip_longest
from operator import add as plus
from operator import sub as minus
from typing import TYPE_CHECKING

from msgspec import structs

from .fold import covers, highest_of_each, latest
from .liveness import liveness
from .model import Change, Counters, Heard, Instance, InstanceKey, StoredBoot

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

__all__ = ["Sum", "add", "as_instance", "gained", "is_news", "merge", "succeeds", "without"]

_NOTHING = Counters()


def merge(
    key: InstanceKey,
    instance: Instance | None,
    stored: Mapping[str, StoredBoot],
    heard: Iterable[Heard],
    now: datetime,
    clock: float,
) -> Change:
    """What `heard` (at most one value per boot of one instance) changes.

    `now` and `clock` are the same moment on the shared clock and on the collector's monotonic one.
    """
    boots: dict[str, StoredBoot] = {}
    gains: dict[int, Counters] = {}
    current, candidate = instance, None
    for one in sorted(heard, key=lambda each: each.heartbeat.boot_id):
        beat, known = one.heartbeat, stored.get(one.heartbeat.boot_id)
        boot = merge_boot(known, one)
        if boot == known:
            continue
        boots[beat.boot_id] = boot
        gained_here = gained(known.counters if known else {}, boot.counters)
        gains = add_each(gains, gained_here) if gains else gained_here
        if is_news(known, one) and succeeds(current, beat.boot_id, now):
            received_at = now - timedelta(seconds=max(0.0, clock - one.received))
            current, candidate = as_instance(one, received_at), one
    counted = total(gains.values())
    if current is not None:
        before = instance.total if instance else _NOTHING
        current = structs.replace(current, total=add(before, counted))
    if instance and current and instance.boot_id != current.boot_id and instance.boot_id in stored:
        # It becomes a former boot: the row of the instance holds the counters of the current one only.
        boots.setdefault(instance.boot_id, stored[instance.boot_id])
    return Change(
        key=key,
        boots=boots,
        gained=gains,
        total=counted,
        current=candidate,
        before=instance,
        after=current,
    )


def merge_boot(known: StoredBoot | None, heard: Heard) -> StoredBoot:
    """The maximum of what is stored and what was heard of one boot."""
    seq, counters = heard.heartbeat.seq, heard.counters
    if known is None:
        return StoredBoot(seq, counters)
    if not covers(counters, known.counters):
        counters = highest_of_each(known.counters, counters)
    return StoredBoot(max(known.seq, seq), counters)


def is_news(known: StoredBoot | None, heard: Heard) -> bool:
    """Within a boot, a higher `seq` is newer; anything else was heard before or comes late."""
    return known is None or heard.heartbeat.seq > known.seq


def succeeds(instance: Instance | None, boot_id: str, now: datetime) -> bool:
    """Whether news of `boot_id` becomes the state of the instance.

    Boot ids sort by time (UUIDv7), so a higher one is a later boot. But clocks jump: a lower one may be later
    too. It is believed once the stored boot has said goodbye or has not been heard for three intervals; until
    then its counters are counted, and its state waits.
    """
    if instance is None or boot_id >= instance.boot_id:
        return True
    heard_at = instance.last_heartbeat_at
    return liveness(instance.state, heard_at, instance.interval_seconds, now, heard_at) != "live"


def gained(before: Mapping[int, Counters], after: Mapping[int, Counters]) -> dict[int, Counters]:
    """By subscription, what `after` has more than `before`, with the time of the last message.

    Only subscriptions that gained something are named.
    """
    gains: dict[int, Counters] = {}
    for subscription, counted in after.items():
        known = before.get(subscription)
        if known is None:
            gains[subscription] = counted
        elif counted != known:
            gains[subscription] = Counters(
                messages_received=counted.messages_received - known.messages_received,
                actions_executed=counted.actions_executed - known.actions_executed,
                actions_failed=counted.actions_failed - known.actions_failed,
                last_message_at=counted.last_message_at,
                latency=_minus(counted.latency, known.latency),
            )
    return gains


def _minus(a: list[int], b: list[int]) -> list[int]:
    if len(a) == len(b):
        return list(map(minus, a, b))
    return [x - y for x, y in zip_longest(a, b, fillvalue=0)]


def add(a: Counters, b: Counters) -> Counters:
    """The sum of counters of different boots or subscriptions; the last message is the later one."""
    return Counters(
        messages_received=a.messages_received + b.messages_received,
        actions_executed=a.actions_executed + b.actions_executed,
        actions_failed=a.actions_failed + b.actions_failed,
        last_message_at=latest(a.last_message_at, b.last_message_at),
        latency=add_buckets(a.latency, b.latency),
    )


def add_each(a: Mapping[int, Counters], b: Mapping[int, Counters]) -> dict[int, Counters]:
    """The sum per subscription."""
    return dict(a) | {
        subscription: add(a[subscription], counted) if subscription in a else counted
        for subscription, counted in b.items()
    }


def total(counted: Iterable[Counters]) -> Counters:
    """The sum of all, without histograms."""
    received = executed = failed = 0
    at = None
    for each in counted:
        received += each.messages_received
        executed += each.actions_executed
        failed += each.actions_failed
        at = latest(at, each.last_message_at)
    return Counters(
        messages_received=received, actions_executed=executed, actions_failed=failed, last_message_at=at
    )


class Sum:
    """A sum that grows, for the many that are added in one flush."""

    __slots__ = ("at", "executed", "failed", "latency", "received")

    def __init__(self) -> None:
        self.received = self.executed = self.failed = 0
        self.at: datetime | None = None
        self.latency: list[int] = []

    def add(self, counted: Counters) -> None:
        """Add."""
        self.received += counted.messages_received
        self.executed += counted.actions_executed
        self.failed += counted.actions_failed
        self.at = latest(self.at, counted.last_message_at)
        if len(self.latency) == len(counted.latency):
            self.latency = list(map(plus, self.latency, counted.latency))
        else:
            self.latency = add_buckets(self.latency, counted.latency)

    def counters(self) -> Counters:
        """What it has grown to."""
        return Counters(
            messages_received=self.received,
            actions_executed=self.executed,
            actions_failed=self.failed,
            last_message_at=self.at,
            latency=self.latency,
        )


def add_buckets(a: Sequence[int], b: Sequence[int]) -> list[int]:
    """The sum of two histograms; an empty one says nothing."""
    return [x + y for x, y in zip_longest(a, b, fillvalue=0)]


def without(heard: Heard, subscriptions: Iterable[int]) -> Heard:
    """`heard` with nothing said about `subscriptions`."""
    left_out = set(subscriptions)
    if left_out.isdisjoint(heard.counters):
        return heard
    kept = {key: counted for key, counted in heard.counters.items() if key not in left_out}
    return structs.replace(heard, counters=kept)


def as_instance(heard: Heard, received_at: datetime) -> Instance:
    """The state of an instance whose newest heartbeat is `heard`."""
    beat = heard.heartbeat
    return Instance(
        boot_id=beat.boot_id,
        state="stopped" if beat.stopping else "live",
        last_heartbeat_at=received_at,
        interval_seconds=beat.interval,
        connected=beat.connected,
        connected_since=beat.connected_since,
        client_id=beat.client_id,
        broker_info=heard.broker_info,
        connection_error=beat.connection_error,
        subscribed_topics_count=beat.subscribed_topics_count,
        applied_revision=beat.applied_revision,
        applied_digest=beat.applied_digest,
        rejected_revision=beat.rejected.revision if beat.rejected else None,
        rejected_error=beat.rejected.error if beat.rejected else None,
    )
