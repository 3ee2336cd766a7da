"""Many heartbeats to one value per boot.

Idempotent, commutative and associative: order and repeats change nothing.
"""

from __future__ import annotations

from itertools import zip_longest
from operator import ge
from typing import TYPE_CHECKING

from msgspec import structs

from mqtt_shared.messages import encode

from .model import Counters

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from .model import BootKey, Heard

__all__ = ["covers", "fold", "highest", "highest_of_each", "join", "latest"]


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
    if covers(newest.counters, other.counters):
        return newest  # as it always is, but for a faulty sender
    return structs.replace(newest, counters=highest_of_each(a.counters, b.counters))


def covers(a: Mapping[int, Counters], b: Mapping[int, Counters]) -> bool:
    """Says `a` all that `b` says?"""
    for subscription, counted in b.items():
        known = a.get(subscription)
        if known is None or (known != counted and not _is_at_least(known, counted)):
            return False
    return True


def _is_at_least(a: Counters, b: Counters) -> bool:
    return (
        a.messages_received >= b.messages_received
        and a.actions_executed >= b.actions_executed
        and a.actions_failed >= b.actions_failed
        and len(a.latency) >= len(b.latency)
        and all(map(ge, a.latency, b.latency))
        and latest(a.last_message_at, b.last_message_at) == a.last_message_at
    )


def _is_newer(a: Heard, b: Heard) -> bool:
    if a.heartbeat.seq != b.heartbeat.seq:
        return a.heartbeat.seq > b.heartbeat.seq
    # Two different heartbeats of one seq are the sender's fault; the choice must still not depend on order.
    # Of a repeated one the first copy counts: a repeat must not keep an instance alive.
    return (_rest(a), -a.received) > (_rest(b), -b.received)


def _rest(heard: Heard) -> tuple[bytes, str, str]:
    return (encode(heard.heartbeat), heard.broker_info or "", heard.action_types)


def highest_of_each(a: Mapping[int, Counters], b: Mapping[int, Counters]) -> dict[int, Counters]:
    """The maximum per subscription and counter."""
    merged = dict(a)
    for subscription, counted in b.items():
        known = merged.get(subscription)
        merged[subscription] = counted if known is None else highest(known, counted)
    return merged


def highest(a: Counters, b: Counters) -> Counters:
    """The maximum of each counter."""
    return Counters(
        messages_received=max(a.messages_received, b.messages_received),
        actions_executed=max(a.actions_executed, b.actions_executed),
        actions_failed=max(a.actions_failed, b.actions_failed),
        last_message_at=latest(a.last_message_at, b.last_message_at),
        latency=highest_buckets(a.latency, b.latency),
    )


def highest_buckets(a: Sequence[int], b: Sequence[int]) -> list[int]:
    """The maximum of each bucket of two cumulative histograms; an empty one says nothing."""
    return [max(pair) for pair in zip_longest(a, b, fillvalue=0)]


def latest(a: datetime | None, b: datetime | None) -> datetime | None:
    """The later of two times that may be missing."""
    if a is None or b is None:
        return a or b
    return max(a, b)
