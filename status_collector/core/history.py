"""What is kept of a flush for people: transitions of instances, and counts per minute."""

from __future__ import annotations

from datetime import datetime
from operator import sub
from typing import TYPE_CHECKING

from msgspec import Struct

from .model import Counters, Happened

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .model import Instance

__all__ = ["Minute", "buckets", "happened", "minute_of"]


class Minute(Struct, frozen=True, kw_only=True):
    """What one flush adds to a minute of a product (`subscription_id` 0) or of one of its subscriptions."""

    product_id: int
    subscription_id: int = 0
    at: datetime
    counted: Counters
    connected_instances: int | None = None
    """Of a product; the minute keeps the most."""


def minute_of(at: datetime) -> datetime:
    """When the minute of `at` began."""
    return at.replace(second=0, microsecond=0)


def buckets(cumulative: Sequence[int]) -> list[int]:
    """How many fell into each bucket of a cumulative histogram; never less than none."""
    counts = list(map(sub, cumulative, (0, *cumulative)))
    return counts if min(counts, default=0) >= 0 else [max(0, count) for count in counts]


def happened(before: Instance | None, after: Instance | None) -> list[Happened]:
    """What made the first out of the second instance; none: not there yet, or cleaned up.

    What came and went between two looks is not told.
    """
    if after is None:
        return [Happened("gone")] if before else []
    events = _alive(before, after)
    if after.state == "live":
        again = before is not None and before.boot_id == after.boot_id and before.state != "stopped"
        events += _connection(before.connected if before and again else False, after)
        events += _revision(before, after)
    return events


def _alive(before: Instance | None, after: Instance) -> list[Happened]:
    if after.state == "stopped":
        return [Happened("stopped")] if before is None or before.state != "stopped" else []
    if after.state == "stale":
        return [Happened("stale")] if before is None or before.state != "stale" else []
    if before is None or before.boot_id != after.boot_id or before.state == "stopped":
        return [Happened("started")]
    return [Happened("live")] if before.state == "stale" else []


def _connection(before: bool, after: Instance) -> list[Happened]:
    if before == after.connected:
        return []
    if after.connected:
        return [Happened("connected")]
    return [Happened("disconnected", detail=after.connection_error)]


def _revision(before: Instance | None, after: Instance) -> list[Happened]:
    applied = before.applied_revision if before else None
    rejected = before.rejected_revision if before else None
    events: list[Happened] = []
    if after.applied_revision is not None and after.applied_revision != applied:
        events.append(Happened("applied", after.applied_revision))
    if after.rejected_revision is not None and after.rejected_revision != rejected:
        events.append(Happened("rejected", after.rejected_revision, after.rejected_error))
    return events
