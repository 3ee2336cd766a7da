"""Which heartbeats can be stored: what passes here, PostgreSQL takes.

Everyone who takes in heartbeats asks here, so that none is accepted that another drops.
"""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from msgspec import json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from .messages import Heartbeat

__all__ = ["MOST_ACTION_TYPES", "MOST_COUNTED", "broker_info_faults", "faults", "subscription_id"]

MOST_COUNTED = 2**53
"""What a JSON number holds exactly; sums of many still fit into 64 bits."""
_MOST_SUBSCRIPTIONS = 10_000
_MOST_BUCKETS = 100
MOST_ACTION_TYPES = 1_000
_LONGEST_BROKER_INFO = 16_384
_DEEPEST_BROKER_INFO = 20
_LATEST_ID = 2**31 - 1
_LONGEST_SHOWN = 50

Fault: TypeAlias = tuple[list[str], str]
"""Where in the heartbeat, and what must be."""


def faults(beat: Heartbeat) -> Iterator[Fault]:
    """Everything that keeps a well-formed heartbeat from being stored."""
    yield from _at_most(["seq"], beat.seq, 2**63 - 1)
    yield from _at_most(["action_types"], len(beat.action_types), MOST_ACTION_TYPES, "elements")
    if beat.latency:
        yield from _at_most(["latency", "bounds"], len(beat.latency.bounds), _MOST_BUCKETS, "elements")
        yield from _buckets(["latency", "counts"], beat.latency.counts)
    yield from _counters(beat)
    yield from broker_info_faults(beat.broker_info)
    yield from _times(beat)


def subscription_id(key: str) -> int | None:
    """The id that a key of `Heartbeat.counters` stands for; None: it is no id.

    One spelling per id: "7" and "07" would be counted as two.
    """
    plain = key.isascii() and key.isdigit() and not key.startswith("0") and len(key) <= len(str(_LATEST_ID))
    return int(key) if plain and int(key) <= _LATEST_ID else None


def _counters(beat: Heartbeat) -> Iterator[Fault]:
    yield from _at_most(["counters"], len(beat.counters), _MOST_SUBSCRIPTIONS, "subscriptions")
    for key, counted in beat.counters.items():
        loc = ["counters", key[:_LONGEST_SHOWN]]
        if subscription_id(key) is None:
            yield loc, "must be the id of a subscription, written without leading zeros"
        for name in ("messages_received", "actions_executed", "actions_failed"):
            yield from _at_most([*loc, name], getattr(counted, name), MOST_COUNTED)
        yield from _buckets([*loc, "latency"], counted.latency)


def _buckets(loc: list[str], counts: list[int]) -> Iterator[Fault]:
    yield from _at_most(loc, len(counts), _MOST_BUCKETS, "elements")
    yield from _at_most(loc, max(counts, default=0), MOST_COUNTED)


def _at_most(loc: list[str], value: int, most: int, of: str = "") -> Iterator[Fault]:
    if value > most:
        yield loc, f"must be at most {most} {of}".rstrip() + f", not {value}"


def broker_info_faults(info: dict[str, Any] | None) -> Iterator[Fault]:
    """What keeps `broker_info` from being stored."""
    if info is None:
        return
    loc = ["broker_info"]
    if not _is_shallow(info, _DEEPEST_BROKER_INFO):
        yield loc, f"must not be nested deeper than {_DEEPEST_BROKER_INFO} levels"
        return
    yield from _at_most(loc, len(json.encode(info)), _LONGEST_BROKER_INFO, "bytes of JSON")
    if _holds_nul(info):
        yield loc, "must not contain a NUL character"


def _is_shallow(value: object, levels: int) -> bool:
    return levels > 0 and all(_is_shallow(inner, levels - 1) for inner in _inside(value))


def _holds_nul(value: object) -> bool:
    if isinstance(value, str):
        return "\0" in value
    return any(_holds_nul(inner) for inner in _inside(value))


def _inside(value: object) -> list[object]:
    if isinstance(value, dict):
        pairs = cast("Mapping[str, object]", value)
        return [*pairs.keys(), *pairs.values()]
    return cast("list[object]", value) if isinstance(value, list) else []


def _times(beat: Heartbeat) -> Iterator[Fault]:
    for name in ("sent_at", "started_at", "connected_since"):
        yield from _time([name], getattr(beat, name))
    for key, counted in beat.counters.items():
        yield from _time(["counters", key[:_LONGEST_SHOWN], "last_message_at"], counted.last_message_at)


def _time(loc: list[str], at: datetime | None) -> Iterator[Fault]:
    try:
        _ = at and at.astimezone(UTC)
    except OverflowError:
        yield loc, "must be from the year 1 to the year 9999 in UTC"
