"""What charts show: which buckets of time cover a range, and what fell into each."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import chain, count
from typing import TYPE_CHECKING

from msgspec import Struct

from mqtt_shared.messages import LATENCY_BOUNDS_SECONDS

from .errors import Fault
from .model import MetricsPoint

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["EARLIEST", "MOST_POINTS", "Bucket", "Range", "Window", "percentile", "points"]

MOST_POINTS = 300
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
"""No range reaches beyond."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_USUAL = timedelta(hours=1)
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_STEPS = (60, 120, 300, 600, 900, 1800, _HOUR, 7200, 10_800, 21_600, 43_200)
_DIGITS = 6


class Range(Struct, frozen=True, kw_only=True):
    """A range of time as it was asked for: up to now, and an hour, if nothing else is said."""

    start: datetime | None = None
    end: datetime | None = None
    step_seconds: int | None = None

    def whole(self, now: datetime) -> tuple[datetime, datetime]:
        """From when to when."""
        end = min(self.end or now, now)
        return self.start or end - _USUAL, end

    def faults(self, now: datetime) -> Iterator[Fault]:
        """All that is wrong with it."""
        faults = [*_early("from", self.start), *_early("to", self.end)]
        start, end = self.whole(now)
        if self.start and start >= end:
            faults.append(Fault(["query", "from"], "must be before `to` and before now", "order"))
        yield from faults
        if self.step_seconds:
            yield from _step_faults(self.step_seconds, None if faults else (start, end))

    def window(self, now: datetime, minutes_since: datetime) -> Window:
        """The buckets that cover the range; it must have no faults.

        minutes_since: what is older is known by the hour alone, and a range that begins there has such steps.
        """
        start, end = self.whole(now)
        step = self.step_seconds or _fitting(start, end)
        if start < minutes_since:
            step = max(step, _HOUR)
        first, last = _edges(start, end, step)
        width = timedelta(seconds=step)
        return Window(start=_EPOCH + first * width, end=_EPOCH + last * width, step_seconds=step)


class Window(Struct, frozen=True, kw_only=True):
    """Buckets of `step_seconds`, side by side; each begins at a multiple of that since 1970."""

    start: datetime
    end: datetime
    step_seconds: int

    @property
    def is_hourly(self) -> bool:
        """Is every bucket made of whole hours?"""
        return self.step_seconds % _HOUR == 0


class Bucket(Struct, frozen=True):
    """What is stored of a bucket in which something was heard."""

    at: datetime
    received: int
    executed: int
    failed: int
    latency: list[int]
    """Messages by time taken, between LATENCY_BOUNDS_SECONDS; the last one is open. Empty: not measured."""
    connected_instances: int | None


def points(window: Window, buckets: Iterable[Bucket], *, of_product: bool) -> list[MetricsPoint]:
    """One point for each bucket of the window; with zeros where nothing was heard."""
    found = {bucket.at: bucket for bucket in buckets}
    width = timedelta(seconds=window.step_seconds)
    number = (window.end - window.start) // width
    moments = (window.start + i * width for i in range(number))
    nothing = 0 if of_product else None
    return [_point(found.get(at) or Bucket(at, 0, 0, 0, [], nothing), nothing) for at in moments]


def _point(bucket: Bucket, nothing: int | None) -> MetricsPoint:
    return MetricsPoint(
        at=bucket.at,
        received=bucket.received,
        executed=bucket.executed,
        failed=bucket.failed,
        p50=percentile(bucket.latency, 0.5),
        p95=percentile(bucket.latency, 0.95),
        p99=percentile(bucket.latency, 0.99),
        connected_instances=nothing if nothing is None else bucket.connected_instances or nothing,
    )


def percentile(counts: Sequence[int], share: float) -> float | None:
    """Seconds within which this share of the messages was done; none when there were no messages.

    Within a bucket messages are taken to lie evenly. What fell into the open one counts as its lower bound.
    """
    rank = share * sum(counts)
    below, lower = 0, 0.0
    if not rank:
        return None
    for number, upper in zip(counts, LATENCY_BOUNDS_SECONDS, strict=False):
        if below + number >= rank:
            return round(lower + (upper - lower) * (rank - below) / number, _DIGITS)
        below, lower = below + number, upper
    return lower


def _early(name: str, at: datetime | None) -> Iterator[Fault]:
    if at and at < EARLIEST:
        yield Fault(["query", name], f"must not be before {EARLIEST:%Y-%m-%d}", "too_small")


def _step_faults(step: int, whole: tuple[datetime, datetime] | None) -> Iterator[Fault]:
    if step % (_MINUTE if step < _HOUR else _HOUR):
        msg = f"must be a multiple of {_MINUTE}, from {_HOUR} on of {_HOUR}"
        yield Fault(["query", "step"], msg, "not_a_multiple")
    elif whole and _number(*whole, step) > MOST_POINTS:
        msg = f"makes more than {MOST_POINTS} points: take {_fitting(*whole)} or more, or a shorter range"
        yield Fault(["query", "step"], msg, "too_small")


def _fitting(start: datetime, end: datetime) -> int:
    """The smallest usual step that makes few enough points."""
    steps = chain(_STEPS, count(_DAY, _DAY))
    return next(step for step in steps if _number(start, end, step) <= MOST_POINTS)


def _number(start: datetime, end: datetime, step: int) -> int:
    first, last = _edges(start, end, step)
    return last - first


def _edges(start: datetime, end: datetime, step: int) -> tuple[int, int]:
    """The first bucket that the range touches, and the one after the last."""
    width = timedelta(seconds=step)
    return (start - _EPOCH) // width, -((_EPOCH - end) // width)
