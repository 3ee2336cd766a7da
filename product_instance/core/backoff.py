"""How long to wait before the next try."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from random import Random

__all__ = ["FATAL", "USUAL", "Backoff", "Pace"]


class Pace(Struct, frozen=True, kw_only=True):
    """Bounds of a delay in seconds: the first, and the most it grows to."""

    first: float
    most: float


USUAL = Pace(first=1, most=30)
FATAL = Pace(first=5, most=300)


class Backoff:
    """Jittered exponential delays that start anew only after what was tried held for a while.

    The first one is anything from nothing to its bound, so that many instances that lose one broker at once
    do not come back at once; those that follow are at least a third of theirs.

    A connection that is made and lost at once does not count as a success: its delays keep growing. A fatal
    fault (trying again with the same settings will hardly help) is tried at a slower pace, but never given
    up: the cause may lie at the broker.
    """

    def __init__(
        self,
        random: Random,
        *,
        usual: Pace = USUAL,
        fatal: Pace = FATAL,
        stable_seconds: float = 10,
    ) -> None:
        self._random = random
        self._usual, self._fatal = usual, fatal
        self._stable_seconds = stable_seconds
        self._failures = 0
        self._succeeded_at: float | None = None

    def succeeded(self, now: float) -> None:
        """It works since `now` (seconds of a monotonic clock)."""
        self._succeeded_at = now

    def failed(self, now: float, *, fatal: bool = False) -> float:
        """It failed, or no longer works: the seconds to wait before the next try."""
        if self._succeeded_at is not None and now - self._succeeded_at >= self._stable_seconds:
            self._failures = 0
        self._succeeded_at = None
        pace = self._fatal if fatal else self._usual
        # Beyond 2**16 every pace has reached its most.
        ceiling = min(pace.most, pace.first * 2 ** min(self._failures, 16))
        floor = ceiling / 3 if self._failures or fatal else 0.0
        self._failures += 1
        return self._random.uniform(floor, ceiling)

    def reset(self) -> None:
        """Something else is tried from now on."""
        self._failures, self._succeeded_at = 0, None
