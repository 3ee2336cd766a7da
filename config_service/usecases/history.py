"""What has happened: figures over time, and the activity of instances and people."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from msgspec import Struct, structs

from mqtt_shared.messages import utc

from ..core.errors import Fault, InvalidInputError
from ..core.history import EARLIEST, Bucket, Range, points
from ..core.model import ActivityEntry, Metrics, Page
from .base import Base, no_product

__all__ = ["History"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ALWAYS = datetime(9999, 12, 31, tzinfo=UTC)
_MOST = 2**63 - 1
_CURSOR = re.compile(r"([0-9]{1,17})\.([ir])([0-9]{1,18})", re.ASCII)


class _Scope(Struct, frozen=True):
    now: datetime
    minutes_since: datetime
    has_subscription: bool


class _Before(Struct, frozen=True):
    """Where a page begins: with what is older than `at`, or of that time and of a lower number."""

    at: datetime
    activity: int = 0
    revision: int = 0


class History(Base):
    """Use cases around what has happened."""

    async def get_metrics(self, product_id: int, subscription_id: int | None, asked: Range) -> Metrics:
        """The figures of a range of time, in at most 300 points.

        Raises:
            NotFoundError, InvalidInputError.
        """
        of = subscription_id or 0
        scope = await self._store.one("get_metrics_scope", _Scope, product_id, of)
        if scope is None:
            raise no_product(product_id)
        faults = list(asked.faults(scope.now))
        if not scope.has_subscription:
            msg = f"product {product_id} has no subscription {subscription_id}"
            faults.append(Fault(["query", "subscription_id"], msg, "unknown_subscription"))
        if faults:
            raise InvalidInputError(faults)
        window = asked.window(scope.now, scope.minutes_since)
        arguments = (product_id, of, window.start, window.end, float(window.step_seconds))
        if window.is_hourly:
            since = (scope.minutes_since, scope.now)
            buckets = await self._store.one("read_hours", list[Bucket], *arguments, *since)
        else:
            buckets = await self._store.one("read_minutes", list[Bucket], *arguments)
        return Metrics(
            product_id=product_id,
            subscription_id=subscription_id,
            start=window.start,
            end=window.end,
            as_of=utc(scope.now),
            step_seconds=window.step_seconds,
            resolution="hour" if window.is_hourly else "minute",
            points=points(window, buckets or [], of_product=subscription_id is None),
        )

    async def list_activity(
        self, product_id: int, limit: int, cursor: str | None, start: datetime | None, end: datetime | None
    ) -> Page[ActivityEntry]:
        """One page, the newest first: what happened from `start` until before `end`."""
        before = _before(cursor) if cursor else _Before(end or _ALWAYS)
        if start and end and start >= end:
            raise InvalidInputError([Fault(["query", "from"], "must be before `to`", "order")])
        numbers = (before.activity, before.revision, start or EARLIEST, limit + 1)
        rows = await self._store.one("list_activity", list[ActivityEntry], product_id, before.at, *numbers)
        if rows is None:
            raise no_product(product_id)
        shown = [structs.replace(row, at=utc(row.at)) for row in rows[:limit]]
        return Page(items=shown, next_cursor=_cursor(shown[-1]) if len(rows) > limit else None)


def _cursor(entry: ActivityEntry) -> str:
    return f"{(entry.at - _EPOCH) // timedelta(microseconds=1)}.{entry.id}"


def _before(cursor: str) -> _Before:
    """Of one time, changes of the configuration come before what happened to instances.

    Raises:
        InvalidInputError: not a cursor of this list.
    """
    found = _CURSOR.fullmatch(cursor)
    if not found:
        raise InvalidInputError([Fault(["query", "cursor"], "must be a next_cursor of this list", "cursor")])
    at, number = _EPOCH + timedelta(microseconds=int(found[1])), int(found[3])
    if found[2] == "r":
        return _Before(at, activity=_MOST, revision=number)
    return _Before(at, activity=number)
