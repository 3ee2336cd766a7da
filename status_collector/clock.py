"""The time that all collectors share."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

__all__ = ["Clock"]


class Clock:
    """PostgreSQL's clock, carried on by the monotonic one: a collector's own clock may be hours off.

    Its own clock counts only until PostgreSQL has told its time.
    """

    def __init__(self) -> None:
        self._told: datetime | None = None
        self._told_at = 0.0

    def set(self, now: datetime, monotonic: float) -> None:
        """PostgreSQL says that it is `now`."""
        self._told, self._told_at = now, monotonic

    def at(self, monotonic: float) -> datetime:
        """The time at a moment of the monotonic clock, close to the present."""
        if self._told is None:
            return datetime.now(UTC)
        return self._told + timedelta(seconds=monotonic - self._told_at)
