"""What an instance does next on its way to the wanted configuration."""

from __future__ import annotations

from msgspec import Struct

__all__ = ["Apply", "Reconnect", "Restore", "Situation", "Step", "Wait", "decide"]


class Situation(Struct, frozen=True, kw_only=True):
    """All that the decision needs. Times are seconds of a monotonic clock.

    apply_due: when the wanted configuration may be tried; null when it is applied or there is none.
    restore_due: when the connection of the applied one may be tried; null when it stands or none is wanted.
    """

    apply_due: float | None = None
    restore_due: float | None = None
    reconnect_requested: bool = False
    connected: bool = False


class Apply(Struct, frozen=True):
    """Try the wanted configuration."""


class Restore(Struct, frozen=True):
    """Connect again with the applied configuration."""


class Reconnect(Struct, frozen=True):
    """Replace a connection that works."""


class Wait(Struct, frozen=True):
    """Nothing to do for so many seconds; null: until something happens."""

    seconds: float | None = None


Step = Apply | Restore | Reconnect | Wait


def decide(situation: Situation, now: float) -> Step:
    """The next step. What has been due for longest goes first, so that neither the wanted configuration nor
    the connection of the applied one can keep the other waiting for ever.
    """
    due = [
        (at, step)
        for at, step in ((situation.apply_due, Apply()), (situation.restore_due, Restore()))
        if at is not None
    ]
    at, step = min(due, key=lambda pair: pair[0], default=(None, None))
    if step is not None and at is not None and at <= now:
        return step
    if situation.reconnect_requested and situation.connected:
        return Reconnect()
    return Wait(None if at is None else at - now)
