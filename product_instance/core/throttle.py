"""Saying the same thing only now and then."""

from __future__ import annotations

__all__ = ["Throttle"]

_MOST_KEYS = 1000


class Throttle:
    """Allows each key once in a period of seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._allowed_at: dict[str, float] = {}

    def allows(self, key: str, now: float) -> bool:
        """May it be said now (seconds of a monotonic clock)?"""
        last = self._allowed_at.get(key)
        if last is not None and now - last < self._seconds:
            return False
        if len(self._allowed_at) >= _MOST_KEYS:
            self._allowed_at.clear()
        self._allowed_at[key] = now
        return True
