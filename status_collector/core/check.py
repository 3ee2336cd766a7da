"""Which messages are heartbeats that can be stored."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from msgspec import structs

from mqtt_shared import heartbeats
from mqtt_shared.messages import (
    LATENCY_BOUNDS_SECONDS,
    Counters,
    Heartbeat,
    Latency,
    MalformedMessageError,
    decode,
)

__all__ = ["ForeignHeartbeatError", "check"]

_CLOCK_ALLOWANCE = timedelta(seconds=60)


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
    for loc, msg in heartbeats.faults(beat):
        raise MalformedMessageError(f"{'.'.join(loc)}: {msg}")
    return _in_utc(beat, now)


def _in_utc(beat: Heartbeat, now: datetime) -> Heartbeat:
    return structs.replace(
        beat,
        sent_at=beat.sent_at.astimezone(UTC),
        started_at=beat.started_at.astimezone(UTC),
        connected_since=_utc(beat.connected_since),
        counters={
            key: _not_in_the_future(_measured(counted, beat.latency), now)
            for key, counted in beat.counters.items()
        },
    )


def _measured(counted: Counters, latency: Latency | None) -> Counters:
    """Without a histogram whose buckets are not the usual ones: it could not be added to others."""
    usual = latency is None or tuple(latency.bounds) == LATENCY_BOUNDS_SECONDS
    if not counted.latency or (usual and len(counted.latency) == len(LATENCY_BOUNDS_SECONDS) + 1):
        return counted
    return structs.replace(counted, latency=[])


def _utc(at: datetime | None) -> datetime | None:
    return at.astimezone(UTC) if at else None


def _not_in_the_future(counted: Counters, now: datetime) -> Counters:
    # The last message of a product is a maximum: one instance with a wrong clock would hold it for years.
    at = _utc(counted.last_message_at)
    if at is None:
        return counted
    return structs.replace(counted, last_message_at=at if at <= now + _CLOCK_ALLOWANCE else now)
