"""The status of a product from its instances: one pure rule.

Counts:

- An instance counts as `live`, `stale` or `stopped`. One that is cleaned up (gone) counts as nothing.
- Of the live ones only: `connected`, and how far it is with the newest configuration, which is exactly one of
  `rejected` (it refused that revision), `pending` (it has an older one), `applied`, and `drifted` (it has
  that revision with another digest, or one that there never was).

State:

- `no_instances`: none is live or stale.
- `disconnected`: no live instance is connected.
- `degraded`: some live instance is not connected, or has rejected the configuration, or has drifted; or one
  is stale. `pending` alone is no trouble: every change begins with it.
- `healthy`: none of that.

The rest:

- `connected`: at least one live instance is connected. `last_connected_at` and `last_disconnected_at` are
  when that began and ended to be so.
- `subscribed_topics_count`: the most that a live connected instance has; 0 when none is connected.
- `client_id`, `broker_info`: of the live instance that has been connected longest (of the first by name, when
  several have), so that they do not change when another one joins; null when none is connected.
- `connection_error`: of the first live failing instance by name; null when no live instance is failing.
- `messages_received`, `actions_executed`, `actions_failed`: totals of their own, so that they do not fall
  when a subscription is deleted or an instance is gone. `last_message_at` is the latest of all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from msgspec import json, structs

from mqtt_shared.messages import InstanceCounts, ProductState, ProductStatus

from .merge import add

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from .model import Desired, Instance, Live, Status, Total

    Progress = Literal["applied", "rejected", "pending", "drifted"]

__all__ = ["aggregate", "as_message", "count", "is_shown", "progress", "recount", "state"]

_COUNTS = InstanceCounts.__struct_fields__


def progress(instance: Instance, desired: Desired) -> Progress:
    """How far the instance is with the desired configuration."""
    applied = instance.applied_revision or 0
    if instance.rejected_revision == desired.revision and applied != desired.revision:
        return "rejected"
    if applied < desired.revision:
        return "pending"
    # Never configured: whatever an instance runs on is its own.
    if desired.revision == 0:
        return "applied"
    same = applied == desired.revision and instance.applied_digest in (None, desired.digest)
    return "applied" if same else "drifted"


def recount(
    counts: InstanceCounts, pairs: Iterable[tuple[Instance | None, Instance | None]], desired: Desired
) -> InstanceCounts:
    """The counts after each first instance has become the second; none: it is not there."""
    changed = dict.fromkeys(_COUNTS, 0)
    for before, after in pairs:
        for instance, sign in ((before, -1), (after, 1)):
            for name in _counted_as(instance, desired) if instance else ():
                changed[name] += sign
    return InstanceCounts(**{name: getattr(counts, name) + changed[name] for name in _COUNTS})


def _counted_as(instance: Instance, desired: Desired) -> list[str]:
    if instance.state != "live":
        return [instance.state]
    names: list[str] = ["live", progress(instance, desired)]
    return [*names, "connected"] if instance.connected else names


def state(counts: InstanceCounts) -> ProductState:
    """The state that the counts amount to."""
    if not counts.live + counts.stale:
        return "no_instances"
    if not counts.connected:
        return "disconnected"
    trouble = counts.stale + counts.rejected + counts.drifted + (counts.live - counts.connected)
    return "degraded" if trouble else "healthy"


def is_shown(before: Instance | None, after: Instance | None) -> bool:
    """Whether the change may make `aggregate` look at single instances anew."""
    return _shown(before) != _shown(after)


def _shown(of: Instance | None) -> tuple[object, ...] | None:
    if of is None or of.state != "live":
        return None
    return (
        of.connected,
        of.connected_since,
        of.client_id,
        of.broker_info,
        of.connection_error,
        of.subscribed_topics_count,
    )


def aggregate(before: Status, counts: InstanceCounts, live: Live | None, now: datetime) -> Status:
    """The status now that the instances amount to `counts`.

    `live`: what single ones show; none: as before.
    """
    connected = counts.connected > 0
    after = structs.replace(
        before,
        state=state(counts),
        instances=counts,
        connected=connected,
        last_connected_at=now if connected and not before.connected else before.last_connected_at,
        last_disconnected_at=now if before.connected and not connected else before.last_disconnected_at,
        settled_at=before.settled_at or (now if counts.live and not counts.pending else None),
    )
    if live is None:
        return after
    return structs.replace(
        after,
        connection_error=live.connection_error,
        subscribed_topics_count=live.subscribed_topics_count if connected else 0,
        client_id=live.client_id if connected else None,
        broker_info=live.broker_info if connected else None,
    )


def count(before: Status, gained: Total) -> Status:
    """The status with more messages."""
    return structs.replace(before, total=add(before.total, gained))


def as_message(product_id: int, status: Status, now: datetime) -> ProductStatus:
    """The status as it goes out on NATS."""
    return ProductStatus(
        product_id=product_id,
        state=status.state,
        connected=status.connected,
        last_connected_at=status.last_connected_at,
        last_disconnected_at=status.last_disconnected_at,
        connection_error=status.connection_error,
        messages_received=status.total.messages_received,
        actions_executed=status.total.actions_executed,
        actions_failed=status.total.actions_failed,
        last_message_at=status.total.last_message_at,
        subscribed_topics_count=status.subscribed_topics_count,
        client_id=status.client_id,
        broker_info=json.decode(status.broker_info) if status.broker_info else None,
        instances=status.instances,
        updated_at=now,
    )
