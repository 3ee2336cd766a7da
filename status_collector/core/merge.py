"""Heard and stored to new counters, and what the totals gain. The heart of exact counting.

A total is a grow-only counter keyed by instance, boot and subscription: merging takes the maximum, and only
what the maximum rises by is added to the totals, in the transaction that stores the maximum.
"""

from __future__ import annotations

from datetime import timedelta
from functools import reduce
from typing import TYPE_CHECKING

from msgspec import structs

from .liveness import liveness
from .model import Change, Heard, Instance, InstanceKey, StoredBoot
from .tally import NOTHING, Gain, Total, gained, highest, latest, tally

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

__all__ = ["add", "as_instance", "is_news", "merge", "succeeds", "without"]


def merge(
    key: InstanceKey,
    instance: Instance | None,
    stored: Mapping[str, StoredBoot],
    heard: Sequence[Heard],
    now: datetime,
    clock: float,
) -> Change:
    """What `heard` (at most one value per boot of one instance) changes.

    `now` and `clock` are the same moment on the shared clock and on the collector's monotonic one.
    """
    boots: dict[str, StoredBoot] = {}
    gains: list[Gain] = []
    news: list[Heard] = []
    for one in heard if len(heard) == 1 else sorted(heard, key=_boot_id):
        boot_id = one.key.boot_id
        known = stored.get(boot_id)
        boot, gain = merge_boot(known, one)
        if boot == known:
            continue
        boots[boot_id] = boot
        gains.append(gain)
        if is_news(known, one):
            news.append(one)
    counted = gains[0].total if len(gains) == 1 else reduce(add, (gain.total for gain in gains), Total())
    total = add(instance.total, counted) if instance else counted
    current, candidate = instance, None
    for one in news:
        if succeeds(current, one.key.boot_id, now):
            received_at = now - timedelta(seconds=max(0.0, clock - one.received))
            current, candidate = as_instance(one, received_at, total), one
    quiet = False
    if instance is not None and current is not None:
        same = structs.replace(instance, last_heartbeat_at=current.last_heartbeat_at, total=total)
        if candidate is None or same == current:
            # Of equal values the ones that are kept already.
            current, quiet = same, True
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
        quiet=quiet,
    )


def _boot_id(heard: Heard) -> str:
    return heard.key.boot_id


def merge_boot(known: StoredBoot | None, heard: Heard) -> tuple[StoredBoot, Gain]:
    """The maximum of what is stored and what was heard of one boot, and how much that is more."""
    seq, counted = heard.heartbeat.seq, heard.tally
    if known is not None:
        seq = max(seq, known.seq)
    before = known.tally if known else NOTHING
    gain = gained(before, counted)
    if gain is None:
        counted = highest(before, counted)
        gain = gained(before, counted)
        assert gain is not None
    return StoredBoot(seq, counted), gain


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


def add(a: Total, b: Total) -> Total:
    """The sum; the last message is the later one."""
    return Total(
        a.messages_received + b.messages_received,
        a.actions_executed + b.actions_executed,
        a.actions_failed + b.actions_failed,
        latest(a.last_message_at, b.last_message_at),
    )


def without(heard: Heard, subscriptions: Iterable[int]) -> Heard:
    """`heard` with nothing said about `subscriptions`."""
    left_out = set(subscriptions)
    if left_out.isdisjoint(heard.tally.subscriptions):
        return heard
    kept = {key: counted for key, counted in heard.tally.counters().items() if key not in left_out}
    return structs.replace(heard, tally=tally(kept))


def as_instance(heard: Heard, received_at: datetime, total: Total) -> Instance:
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
        total=total,
    )
