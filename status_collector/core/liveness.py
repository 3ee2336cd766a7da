"""When an instance is live, stale or stopped, and when a collector may say so."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .model import State

__all__ = ["MISSED_INTERVALS", "Attention", "liveness"]

MISSED_INTERVALS = 3
"""An instance is live until so many of its intervals pass without a heartbeat."""


def liveness(
    state: State,
    last_heartbeat_at: datetime,
    interval_seconds: float,
    now: datetime,
    listening_since: datetime,
) -> State:
    """The state at `now`, as known to a collector that has listened without a gap since `listening_since`.

    Time in which nobody listened proves nothing, so it does not count. `stale.sql` says the same in SQL.
    """
    silent = now - max(last_heartbeat_at, listening_since)
    if state == "live" and silent > MISSED_INTERVALS * timedelta(seconds=interval_seconds):
        return "stale"
    return state


class Attention:
    """Since when a collector has listened without a gap.

    After a start, an outage of NATS or PostgreSQL, a backlog, a pause of the process itself or a jump of the
    clock it begins anew, so that a collector that comes back does not call the whole fleet stale.
    """

    def __init__(self, longest_gap_seconds: float) -> None:
        self._longest_gap = timedelta(seconds=longest_gap_seconds)
        self._since: datetime | None = None
        self._last: datetime | None = None

    def observe(self, *, hearing: bool, now: datetime) -> datetime | None:
        """Since when, looked at regularly; none when heartbeats do not come through at the moment."""
        paused = self._last is not None and abs(now - self._last) > self._longest_gap
        self._last = now
        if not hearing:
            self._since = None
        elif self._since is None or paused:
            self._since = now
        return self._since

    def lose(self) -> None:
        """Something is away: what comes now begins a new stretch."""
        self._since = None
