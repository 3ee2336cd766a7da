"""Which messages are heartbeats that can be stored. What passes here, PostgreSQL takes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from msgspec import json, structs

from mqtt_shared.messages import Counters, Heartbeat, MalformedMessageError, decode

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ForeignHeartbeatError", "check"]

_MOST_COUNTED = 2**53  # what a JSON number holds exactly; sums of many still fit into 64 bits
_MOST_SUBSCRIPTIONS = 10_000
_MOST_BUCKETS = 100
_MOST_ACTION_TYPES = 1_000
_LONGEST_BROKER_INFO = 16_384
_DEEPEST_BROKER_INFO = 20
_CLOCK_ALLOWANCE = timedelta(seconds=60)
_LATEST_ID = 2**31 - 1


class ForeignHeartbeatError(ValueError):
    """The subject names another product, instance or boot than the body."""


def check(subject: str, data: bytes, now: datetime) -> Heartbeat:
    """The heartbeat in `data`, with all times in UTC and none of its counts in the future.

    Raises:
        MalformedMessageError: not a heartbeat, or one with a value that cannot be stored.
        ForeignHeartbeatError: subject and body disagree.
    """
    beat = decode(data, Heartbeat)
    if subject.split(".")[-3:] != [str(beat.product_id), beat.instance_id, beat.boot_id]:
        raise ForeignHeartbeatError(f"the body names {beat.product_id}.{beat.instance_id}.{beat.boot_id}")
    _check_sizes(beat)
    _check_broker_info(beat.broker_info)
    try:
        return _in_utc(beat, now)
    except OverflowError as error:
        raise MalformedMessageError("a time is before the year 1 or after the year 9999 in UTC") from error


def _check_sizes(beat: Heartbeat) -> None:
    _at_most("counters", len(beat.counters), _MOST_SUBSCRIPTIONS)
    _at_most("action_types", len(beat.action_types), _MOST_ACTION_TYPES)
    _at_most("seq", beat.seq, 2**63 - 1)
    if beat.latency:
        _at_most("latency", max(len(beat.latency.bounds), len(beat.latency.counts)), _MOST_BUCKETS)
    for subscription, counted in beat.counters.items():
        _check_subscription(subscription)
        most = max(counted.messages_received, counted.actions_executed, counted.actions_failed)
        _at_most(f"counters.{subscription}", most, _MOST_COUNTED)


def _check_subscription(subscription: str) -> None:
    # One spelling per id: "7" and "07" would be counted as two.
    plain = subscription.isascii() and subscription.isdigit() and not subscription.startswith("0")
    if not plain or len(subscription) > 10 or int(subscription) > _LATEST_ID:
        raise MalformedMessageError(f"counters: {subscription[:50]!r} is not the id of a subscription")


def _at_most(what: str, value: int, most: int) -> None:
    if value > most:
        raise MalformedMessageError(f"{what}: {value} is more than {most}")


def _check_broker_info(info: dict[str, Any] | None) -> None:
    if info is None:
        return
    _check_depth(info, _DEEPEST_BROKER_INFO)
    encoded = json.encode(info)
    _at_most("broker_info", len(encoded), _LONGEST_BROKER_INFO)
    if _holds_nul(info):
        raise MalformedMessageError("broker_info: holds a NUL character")


def _check_depth(value: object, left: int) -> None:
    if left == 0:
        raise MalformedMessageError("broker_info: nested too deeply")
    for inner in _inside(value):
        _check_depth(inner, left - 1)


def _holds_nul(value: object) -> bool:
    if isinstance(value, str):
        return "\0" in value
    return any(_holds_nul(inner) for inner in _inside(value))


def _inside(value: object) -> list[object]:
    if isinstance(value, dict):
        pairs = cast("Mapping[str, object]", value)
        return [*pairs.keys(), *pairs.values()]
    return cast("list[object]", value) if isinstance(value, list) else []


def _in_utc(beat: Heartbeat, now: datetime) -> Heartbeat:
    return structs.replace(
        beat,
        sent_at=beat.sent_at.astimezone(UTC),
        started_at=beat.started_at.astimezone(UTC),
        connected_since=_utc(beat.connected_since),
        counters={key: _not_in_the_future(counted, now) for key, counted in beat.counters.items()},
    )


def _utc(at: datetime | None) -> datetime | None:
    return at.astimezone(UTC) if at else None


def _not_in_the_future(counted: Counters, now: datetime) -> Counters:
    # The last message of a product is a maximum: one instance with a wrong clock would hold it for years.
    at = _utc(counted.last_message_at)
    if at is None:
        return counted
    return structs.replace(counted, last_message_at=at if at <= now + _CLOCK_ALLOWANCE else now)
