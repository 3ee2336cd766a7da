"""What the instance has done since its boot; only ever rises."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from typing import TYPE_CHECKING

from msgspec import Struct

from mqtt_shared.messages import LATENCY_BOUNDS_SECONDS, Counters, Latency

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

__all__ = ["CounterBook", "Outcome"]

_BUCKETS = len(LATENCY_BOUNDS_SECONDS) + 1


class Outcome(Struct, frozen=True, kw_only=True):
    """What became of one message in one subscription."""

    subscription_id: int
    executed: int = 0
    failed: int = 0
    seconds: float = 0
    """From receipt to the end of the work."""


class _Tally:
    __slots__ = ("executed", "failed", "last_message_at", "latency", "received")

    def __init__(self) -> None:
        self.received = self.executed = self.failed = 0
        self.last_message_at: datetime | None = None
        self.latency = [0] * _BUCKETS


class CounterBook:
    """Counts messages when they are settled, just before they are acknowledged.

    Counting on receipt would count a message again that a crash has the broker deliver twice.
    """

    def __init__(self) -> None:
        self._tallies: dict[int, _Tally] = {}
        self._latency = [0] * _BUCKETS

    def settled(self, outcomes: Iterable[Outcome], *, received_at: datetime, seconds: float) -> None:
        """One message is done in all its subscriptions, `seconds` after its receipt."""
        for outcome in outcomes:
            tally = self._tallies.setdefault(outcome.subscription_id, _Tally())
            tally.received += 1
            tally.executed += outcome.executed
            tally.failed += outcome.failed
            tally.latency[bisect_left(LATENCY_BOUNDS_SECONDS, outcome.seconds)] += 1
            if tally.last_message_at is None or received_at > tally.last_message_at:
                tally.last_message_at = received_at
        self._latency[bisect_left(LATENCY_BOUNDS_SECONDS, seconds)] += 1

    def counters(self) -> dict[str, Counters]:
        """By subscription id, subscriptions of the past included."""
        return {
            str(subscription_id): Counters(
                messages_received=tally.received,
                actions_executed=tally.executed,
                actions_failed=tally.failed,
                last_message_at=tally.last_message_at,
                latency=list(accumulate(tally.latency)),
            )
            for subscription_id, tally in self._tallies.items()
        }

    def latency(self) -> Latency:
        """Cumulative histogram of the seconds from receipt to settlement."""
        return Latency(counts=list(accumulate(self._latency)))
