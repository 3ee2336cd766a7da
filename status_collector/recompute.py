"""From changed instances to the stored status of their products, and to the message that tells it."""

from __future__ import annotations

from collections import defaultdict
from functools import reduce
from itertools import islice
from typing import TYPE_CHECKING

from msgspec import structs

from mqtt_shared.messages import (
    InstanceChanged,
    InstanceCounts,
    Rejection,
    StatusChanged,
    SubscriptionTotals,
    Transition,
)

from .core.aggregate import aggregate, as_message, count, is_shown, recount
from .core.history import happened
from .core.merge import add
from .core.model import Total

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from .core.model import Change, Happened, Instance, InstanceKey, Status
    from .store import Transaction

__all__ = ["recompute", "with_totals"]

_MOST_TOLD = 100


async def recompute(
    transaction: Transaction, statuses: Mapping[int, Status], changes: Iterable[Change], now: datetime
) -> list[StatusChanged]:
    """Store the status of each locked product with a change or a newer desired revision.

    The work grows with what changed: all instances of a product are looked at only when its desired revision
    has moved, for then each of them may count as something else.
    """
    by_product: dict[int, list[Change]] = defaultdict(list)
    for change in changes:
        by_product[change.key.product_id].append(change)
    desired = await transaction.desired(statuses)
    moved = {key: each for key, each in desired.items() if each.revision > statuses[key].desired.revision}
    counted = await transaction.count_instances(moved) if moved else {}
    telling = {key: [each for each in group if not each.quiet] for key, group in by_product.items()}
    shown = [key for key, group in telling.items() if any(is_shown(c.before, c.after) for c in group)]
    live = await transaction.live(shown) if shown else {}
    after: dict[int, Status] = {}
    for product_id in sorted(by_product.keys() | moved.keys()):
        status, group = statuses[product_id], by_product[product_id]
        status = count(status, reduce(add, (change.total for change in group), Total()))
        if product_id in moved:
            counts = counted.get(product_id, InstanceCounts())
            status = structs.replace(status, desired=moved[product_id], settled_at=None)
        else:
            pairs = ((change.before, change.after) for change in telling.get(product_id, ()))
            counts = recount(status.instances, pairs, status.desired)
        after[product_id] = aggregate(status, counts, live.get(product_id), now)
    await transaction.write_statuses(after, now)
    events = {
        product_id: [(change.key, each) for change in group for each in happened(change.before, change.after)]
        for product_id, group in telling.items()
    }
    await transaction.add_activity([each for group in events.values() for each in group], now)
    return [
        _told(product_id, status, by_product[product_id], events.get(product_id, []), now)
        for product_id, status in after.items()
    ]


def _told(
    product_id: int,
    status: Status,
    changes: Sequence[Change],
    events: Sequence[tuple[InstanceKey, Happened]],
    now: datetime,
) -> StatusChanged:
    eventful = {key for key, _ in events}
    first = sorted(changes, key=lambda change: change.key not in eventful)
    told = ((change.key.instance_id, change.after) for change in first)
    return StatusChanged(
        product_id=product_id,
        status=as_message(product_id, status, now),
        instances=list(islice((_instance(name, after) for name, after in told if after), _MOST_TOLD)),
        instances_changed=len(changes),
        transitions=[_transition(key.instance_id, each, now) for key, each in events[:_MOST_TOLD]],
    )


def _transition(instance_id: str, each: Happened, now: datetime) -> Transition:
    return Transition(instance_id=instance_id, at=now, **structs.asdict(each))


def _instance(instance_id: str, after: Instance) -> InstanceChanged:
    rejected = None
    if after.rejected_revision is not None:
        rejected = Rejection(revision=after.rejected_revision, error=after.rejected_error or "")
    return InstanceChanged(
        instance_id=instance_id,
        state=after.state,
        connected=after.connected,
        connection_error=after.connection_error,
        applied_revision=after.applied_revision,
        rejected=rejected,
        messages_received=after.total.messages_received,
        actions_executed=after.total.actions_executed,
        actions_failed=after.total.actions_failed,
        last_message_at=after.total.last_message_at,
        last_heartbeat_at=after.last_heartbeat_at,
    )


def with_totals(
    all_changed: Iterable[StatusChanged],
    totals: Mapping[int, SubscriptionTotals],
    owners: Mapping[int, int],
) -> list[StatusChanged]:
    """The messages with the subscriptions whose totals changed."""
    by_product: dict[int, dict[str, SubscriptionTotals]] = defaultdict(dict)
    for subscription, total in totals.items():
        by_product[owners[subscription]][str(subscription)] = total
    return [structs.replace(each, subscriptions=by_product[each.product_id]) for each in all_changed]
