"""Many heartbeats to one value per boot.

Idempotent, commutative and associative: order and repeats change nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from mqtt_shared.messages import encode

from .tally import highest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .model import BootKey, Heard

__all__ = ["fold", "join"]


def fold(heard: Iterable[Heard]) -> dict[BootKey, Heard]:
    """One value per boot: the heartbeat of the highest `seq`, and the maximum of each counter."""
    folded: dict[BootKey, Heard] = {}
    for one in heard:
        known = folded.get(one.key)
        folded[one.key] = one if known is None else join(known, one)
    return folded


def join(a: Heard, b: Heard) -> Heard:
    """The least value that says as much as both."""
    newest, other = (a, b) if _is_newer(a, b) else (b, a)
    if newest.tally.covers(other.tally):
        return newest  # as it always is, but for a faulty sender
    return structs.replace(newest, tally=highest(a.tally, b.tally))


def _is_newer(a: Heard, b: Heard) -> bool:
    if a.heartbeat.seq != b.heartbeat.seq:
        return a.heartbeat.seq > b.heartbeat.seq
    # Two different heartbeats of one seq are the sender's fault; the choice must still not depend on order.
    # Of a repeated one the first copy counts: a repeat must not keep an instance alive.
    return (_rest(a), -a.received) > (_rest(b), -b.received)


def _rest(heard: Heard) -> tuple[bytes, str, str]:
    return (encode(heard.heartbeat), heard.broker_info or "", heard.action_types)
