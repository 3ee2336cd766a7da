"""Which messages are heartbeats that can be stored. Tens of thousands of them come in a second."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta, structs

from mqtt_shared import heartbeats
from mqtt_shared.messages import LATENCY_BOUNDS_SECONDS, Heartbeat, MalformedMessageError, Text, decode

from .model import Beat, BootKey, Heard
from .tally import tally

if TYPE_CHECKING:
    from mqtt_shared.messages import Latency

    from .tally import Counters

__all__ = ["ForeignHeartbeatError", "canonical", "check"]

_CLOCK_ALLOWANCE = timedelta(seconds=60)
_USUAL = list(LATENCY_BOUNDS_SECONDS)
_MOST_REMEMBERED = 10_000
_TAKEN = msgspec.Raw(b"null")
_beat = msgspec.json.Decoder(Beat)
_object = msgspec.json.Decoder(dict[str, Any])
_action_types = msgspec.json.Decoder(Annotated[list[Text], Meta(max_length=heartbeats.MOST_ACTION_TYPES)])
_spelled = msgspec.json.Encoder(order="sorted")


class ForeignHeartbeatError(ValueError):
    """The subject names another product, instance or boot than the body."""


def check(subject: str, data: bytes, received: float, now: datetime) -> Heard:
    """The heartbeat in `data`, with all times in UTC and none of its counts in the future.

    Args:
        subject: where it came.
        data: the message.
        received: when it came, in monotonic seconds.
        now: the same by the clock.

    Raises:
        MalformedMessageError: not a heartbeat, or one with a value that cannot be stored.
        ForeignHeartbeatError: subject and body disagree.
    """
    try:
        beat = _beat.decode(data)
        broker_info = canonical(bytes(beat.broker_info))
        action_types = _spelled_types(bytes(beat.action_types))
        _in_utc(beat)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError) as error:
        raise MalformedMessageError(str(error)) from error
    if not subject.endswith(f".{beat.product_id}.{beat.instance_id}.{beat.boot_id}"):
        raise ForeignHeartbeatError(f"the body names {beat.product_id}.{beat.instance_id}.{beat.boot_id}")
    if b"\\u0000" in data:
        _look_for_nul(data)
    _correct(beat.counters, _is_usual(beat.latency), now + _CLOCK_ALLOWANCE, now)
    key = BootKey(beat.product_id, beat.instance_id, beat.boot_id)
    heard = Heard(key, beat, received, tally(beat.counters), broker_info, action_types)
    # They hold the whole message, and are not needed any more.
    beat.broker_info = beat.action_types = _TAKEN
    beat.counters, beat.latency = {}, None
    return heard


@lru_cache(_MOST_REMEMBERED)
def canonical(raw: bytes) -> str | None:
    """A JSON object in one spelling, checked once for the many that have the same.

    Raises:
        MalformedMessageError, msgspec.DecodeError: it cannot be stored.
    """
    if raw == b"null":
        return None
    info = _object.decode(raw)
    for loc, msg in heartbeats.broker_info_faults(info):
        raise MalformedMessageError(f"{'.'.join(loc)}: {msg}")
    return _spelled.encode(info).decode()


@lru_cache(_MOST_REMEMBERED)
def _spelled_types(raw: bytes) -> str:
    return _spelled.encode(_action_types.decode(raw)).decode()


def _look_for_nul(data: bytes) -> None:
    """The slow way, for a message that holds what may be a NUL character."""
    for loc, msg in heartbeats.faults(decode(data, Heartbeat)):
        raise MalformedMessageError(f"{'.'.join(loc)}: {msg}")


def _is_usual(latency: Latency | None) -> bool:
    return latency is None or latency.bounds == _USUAL


def _in_utc(beat: Beat) -> None:
    if beat.sent_at.tzinfo is not UTC:
        beat.sent_at = beat.sent_at.astimezone(UTC)
    if beat.started_at.tzinfo is not UTC:
        beat.started_at = beat.started_at.astimezone(UTC)
    since = beat.connected_since
    if since is not None and since.tzinfo is not UTC:
        beat.connected_since = since.astimezone(UTC)
    for key, counted in beat.counters.items():
        at = counted.last_message_at
        if at is not None and at.tzinfo is not UTC:
            beat.counters[key] = structs.replace(counted, last_message_at=at.astimezone(UTC))


def _correct(counters: dict[int, Counters], usual: bool, limit: datetime, now: datetime) -> None:
    """Without histograms of other buckets, which could not be added up, and without times that lie ahead.

    The last message of a product is a maximum: one instance with a wrong clock would hold it for years.
    """
    full = len(_USUAL) + 1
    for key, counted in counters.items():
        latency, at = counted.latency, counted.last_message_at
        if latency and not (usual and len(latency) == full):
            counters[key] = counted = structs.replace(counted, latency=[])
        if at is not None and at > limit:
            counters[key] = structs.replace(counted, last_message_at=now)
