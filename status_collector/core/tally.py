"""What one boot has counted, packed: as it waits, is merged, kept in memory and stored.

Each subscription has `_LANES` whole numbers: received, executed, failed, and the buckets of the histogram.
All of them stand side by side in one integer, in lanes of four bytes, or of eight when one number needs them.
The highest bit of a lane is never part of a number, so that lanes can be compared and subtracted all at once:
a heartbeat costs a few operations, however many subscriptions it tells of. Where two differ in their
subscriptions or lanes, they are unpacked and worked on one by one.
"""

from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct, field, msgpack

from mqtt_shared import messages
from mqtt_shared.heartbeats import MOST_COUNTED
from mqtt_shared.messages import LATENCY_BOUNDS_SECONDS, Timestamp

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "NOTHING",
    "Counters",
    "Gain",
    "Sums",
    "Tally",
    "Total",
    "dump",
    "gained",
    "highest",
    "latest",
    "load",
    "plus",
    "tally",
]

_BUCKETS = len(LATENCY_BOUNDS_SECONDS) + 1
_LANES = 3 + _BUCKETS
_NO_BUCKETS = [0] * _BUCKETS
_NARROW, _WIDE = 4, 8
_CODES = {_NARROW: "i", _WIDE: "q"}
"""Signed, so that the highest bit stays free."""
_HEAD = struct.Struct("<BH")
_BEGINNING = datetime.min.replace(tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MOST_SHAPES = 1000
_OLDER = msgpack.Decoder(dict[int, tuple[int, int, int, datetime | None, list[int]]])
_OLDER_BEGINS = 0x80
_Count = Annotated[int, Meta(ge=0, le=MOST_COUNTED)]


class Counters(messages.Counters, frozen=True, kw_only=True, gc=False):
    """As in a heartbeat, within what can be stored and added up."""

    messages_received: _Count = 0
    actions_executed: _Count = 0
    actions_failed: _Count = 0
    last_message_at: Timestamp | None = None
    latency: Annotated[list[_Count], Meta(max_length=100)] = field(default_factory=list[int])


class Total(Struct, frozen=True, gc=False):
    """Counters over many subscriptions, or over many instances."""

    messages_received: int = 0
    actions_executed: int = 0
    actions_failed: int = 0
    last_message_at: datetime | None = None
    """The latest of all."""


class Tally(Struct, frozen=True, gc=False):
    """The counters of one boot by subscription. None of them falls while the boot runs."""

    subscriptions: tuple[int, ...]
    """Ascending."""
    width: int
    """Bytes of a lane."""
    lanes: bytes
    last: bytes
    """When the last message of each came, in lanes: microseconds since the beginning of times; 0: never."""
    total: Total
    """Over all subscriptions."""

    def counters(self) -> dict[int, Counters]:
        """By subscription."""
        numbers = _numbers(self.width, len(self.subscriptions) * _LANES).unpack(self.lanes)
        return _counters(self.subscriptions, numbers, _times(len(self.subscriptions)).unpack(self.last))

    def covers(self, other: Tally) -> bool:
        """Says this one all that the other says?"""
        return gained(other, self) is not None


class Gain(Struct, frozen=True, gc=False):
    """What one tally has more than an earlier one."""

    subscriptions: tuple[int, ...]
    width: int
    lanes: int
    last: bytes
    """Of the later one."""
    moved: int
    """Not 0 in the lanes of `last` where it differs from the earlier one."""
    total: Total

    def counters(self) -> dict[int, Counters]:
        """Of the subscriptions that gained something."""
        sums = Sums()
        sums.add(0, self)
        return sums.counters()[0]


def tally(counters: Mapping[int, Counters]) -> Tally:
    """Pack counters whose histograms have the usual buckets or none."""
    subscriptions = _shared(tuple(sorted(counters)))
    numbers: list[int] = []
    last: list[int] = []
    received = executed = failed = latest = 0
    at = None
    for subscription in subscriptions:
        counted = counters[subscription]
        numbers += (counted.messages_received, counted.actions_executed, counted.actions_failed)
        numbers += counted.latency or _NO_BUCKETS
        received += counted.messages_received
        executed += counted.actions_executed
        failed += counted.actions_failed
        moment = counted.last_message_at
        if moment is None:
            last.append(0)
            continue
        last.append((moment - _BEGINNING) // _MICROSECOND)
        if last[-1] > latest:
            latest, at = last[-1], moment
    width, lanes = _packed(numbers)
    return Tally(
        subscriptions,
        width,
        lanes,
        _times(len(last)).pack(*last),
        Total(received, executed, failed, at),
    )


def _packed(numbers: list[int]) -> tuple[int, bytes]:
    try:
        return _NARROW, _numbers(_NARROW, len(numbers)).pack(*numbers)
    except struct.error:
        return _WIDE, _numbers(_WIDE, len(numbers)).pack(*numbers)


def gained(before: Tally, after: Tally) -> Gain | None:
    """What `after` has more; none when `before` says anything that it does not say."""
    if before.subscriptions != after.subscriptions or before.width != after.width:
        return _gained_by_each(before, after)
    lanes = _risen(before.lanes, after.lanes, after.width)
    if lanes is None or _risen(before.last, after.last, _WIDE) is None:
        return None
    a, b = before.total, after.total
    return Gain(
        after.subscriptions,
        after.width,
        lanes,
        after.last,
        int.from_bytes(after.last, "little") ^ int.from_bytes(before.last, "little"),
        Total(
            b.messages_received - a.messages_received,
            b.actions_executed - a.actions_executed,
            b.actions_failed - a.actions_failed,
            b.last_message_at,
        ),
    )


def _gained_by_each(before: Tally, after: Tally) -> Gain | None:
    known, counters = before.counters(), after.counters()
    if before.subscriptions and counters != highest(before, after).counters():
        return None
    more = tally(
        {
            subscription: _difference(known.get(subscription, Counters()), counted)
            for subscription, counted in counters.items()
            if counted != known.get(subscription)
        }
    )
    last = int.from_bytes(more.last, "little")
    return Gain(
        more.subscriptions, more.width, int.from_bytes(more.lanes, "little"), more.last, last, more.total
    )


def _difference(before: Counters, after: Counters) -> Counters:
    latency = before.latency or _NO_BUCKETS
    return Counters(
        messages_received=after.messages_received - before.messages_received,
        actions_executed=after.actions_executed - before.actions_executed,
        actions_failed=after.actions_failed - before.actions_failed,
        last_message_at=after.last_message_at,
        latency=[b - a for a, b in zip(latency, after.latency, strict=True)] if after.latency else [],
    )


def highest(a: Tally, b: Tally) -> Tally:
    """The maximum per subscription and number."""
    merged, others = a.counters(), b.counters()
    for subscription, counted in others.items():
        known = merged.get(subscription)
        merged[subscription] = counted if known is None else _highest(known, counted)
    return tally(merged)


def _highest(a: Counters, b: Counters) -> Counters:
    latency = list(map(max, a.latency, b.latency)) if a.latency and b.latency else a.latency or b.latency
    return Counters(
        messages_received=max(a.messages_received, b.messages_received),
        actions_executed=max(a.actions_executed, b.actions_executed),
        actions_failed=max(a.actions_failed, b.actions_failed),
        last_message_at=latest(a.last_message_at, b.last_message_at),
        latency=latency,
    )


class Sums:
    """Gains of many boots, added up by product and subscription."""

    def __init__(self) -> None:
        self._sums: dict[tuple[int, tuple[int, ...], int], _Sum] = {}

    def add(self, product_id: int, gain: Gain) -> None:
        """Add what a boot of the product has gained."""
        key = (product_id, gain.subscriptions, gain.width)
        found = self._sums.get(key)
        if found is None:
            found = self._sums[key] = _Sum(gain.subscriptions, gain.width)
        found.add(gain)

    def counters(self) -> dict[int, dict[int, Counters]]:
        """By product and subscription, of the subscriptions that gained something."""
        by_product: dict[int, dict[int, Counters]] = {}
        for (product_id, _, _), each in self._sums.items():
            ours = by_product.setdefault(product_id, {})
            for subscription, counted in each.counters().items():
                known = ours.get(subscription)
                ours[subscription] = counted if known is None else plus(known, counted)
        return by_product


class _Sum:
    """Lanes of twice the width, every other one in a sum of its own: there is no carry from lane to lane."""

    def __init__(self, subscriptions: tuple[int, ...], width: int) -> None:
        self._subscriptions, self._width = subscriptions, width
        self._count = len(subscriptions) * _LANES
        self._mask = _every_other(width, self._count)
        self._even = self._odd = self._moved = 0
        self._last = [0] * len(subscriptions)

    def add(self, gain: Gain) -> None:
        self._even += gain.lanes & self._mask
        self._odd += gain.lanes >> 8 * self._width & self._mask
        self._moved |= gain.moved
        self._last = list(map(max, self._last, _times(len(self._last)).unpack(gain.last)))

    def counters(self) -> dict[int, Counters]:
        numbers = [0] * self._count
        numbers[::2] = self._unpacked(self._even, (self._count + 1) // 2)
        numbers[1::2] = self._unpacked(self._odd, self._count // 2)
        moved = _times(len(self._last)).unpack(self._moved.to_bytes(8 * len(self._last), "little"))
        found = _counters(self._subscriptions, numbers, self._last)
        return {
            subscription: counted
            for place, (subscription, counted) in enumerate(found.items())
            if moved[place] or any(numbers[place * _LANES : (place + 1) * _LANES])
        }

    def _unpacked(self, lanes: int, count: int) -> list[int]:
        size = 2 * self._width
        data = lanes.to_bytes(count * size, "little")
        if size == _WIDE:
            return list(_numbers(_WIDE, count).unpack(data))
        return [int.from_bytes(data[at : at + size], "little") for at in range(0, len(data), size)]


def plus(a: Counters, b: Counters) -> Counters:
    """The sum of two; the last message is the later one."""
    latency = [x + y for x, y in zip(a.latency, b.latency, strict=True)] if a.latency and b.latency else None
    return Counters(
        messages_received=a.messages_received + b.messages_received,
        actions_executed=a.actions_executed + b.actions_executed,
        actions_failed=a.actions_failed + b.actions_failed,
        last_message_at=latest(a.last_message_at, b.last_message_at),
        latency=a.latency or b.latency if latency is None else latency,
    )


def latest(a: datetime | None, b: datetime | None) -> datetime | None:
    """The later of two times that may be missing."""
    if a is None or b is None:
        return a or b
    return max(a, b)


def dump(counted: Tally) -> bytes:
    """As it is stored."""
    count = len(counted.subscriptions)
    head = _HEAD.pack(counted.width, count) + _ids(count).pack(*counted.subscriptions)
    return head + counted.last + counted.lanes


def load(data: bytes) -> Tally:
    """What was stored, in this form or in the older one: MessagePack, a list by subscription."""
    if data[0] >= _OLDER_BEGINS:
        return _load_older(data)
    width, count = _HEAD.unpack_from(data)
    ids = _ids(count)
    at = _HEAD.size + ids.size
    subscriptions = _shared(ids.unpack_from(data, _HEAD.size))
    last, lanes = data[at : at + 8 * count], data[at + 8 * count :]
    numbers = _numbers(width, count * _LANES).unpack(lanes)
    return Tally(
        subscriptions,
        width,
        lanes,
        last,
        Total(
            sum(numbers[::_LANES]),
            sum(numbers[1::_LANES]),
            sum(numbers[2::_LANES]),
            _moment(max(_times(count).unpack(last), default=0)),
        ),
    )


def _load_older(data: bytes) -> Tally:
    return tally(
        {
            subscription: Counters(
                messages_received=received,
                actions_executed=executed,
                actions_failed=failed,
                last_message_at=at,
                latency=latency,
            )
            for subscription, (received, executed, failed, at, latency) in _OLDER.decode(data).items()
        }
    )


def _risen(before: bytes, after: bytes, width: int) -> int | None:
    """The difference in each lane; none when one has fallen. The free bits keep lanes from borrowing."""
    free = _free_bits(width, len(after) // width)
    rest = (int.from_bytes(after, "little") | free) - int.from_bytes(before, "little")
    return rest ^ free if rest & free == free else None


def _counters(
    subscriptions: tuple[int, ...], numbers: list[int] | tuple[int, ...], last: Iterable[int]
) -> dict[int, Counters]:
    found: dict[int, Counters] = {}
    for place, (subscription, at) in enumerate(zip(subscriptions, last, strict=True)):
        received, executed, failed, *latency = numbers[place * _LANES : (place + 1) * _LANES]
        found[subscription] = Counters(
            messages_received=received,
            actions_executed=executed,
            actions_failed=failed,
            last_message_at=_moment(at),
            latency=latency if any(latency) else [],
        )
    return found


def _moment(microseconds: int) -> datetime | None:
    return _BEGINNING + timedelta(microseconds=microseconds) if microseconds else None


@lru_cache(100_000)
def _shared(subscriptions: tuple[int, ...]) -> tuple[int, ...]:
    """One copy of what all instances of a product have alike."""
    return subscriptions


@lru_cache(_MOST_SHAPES)
def _numbers(width: int, count: int) -> struct.Struct:
    return struct.Struct(f"<{count}{_CODES[width]}")


@lru_cache(_MOST_SHAPES)
def _times(count: int) -> struct.Struct:
    return struct.Struct(f"<{count}Q")


@lru_cache(_MOST_SHAPES)
def _ids(count: int) -> struct.Struct:
    return struct.Struct(f"<{count}I")


@lru_cache(_MOST_SHAPES)
def _free_bits(width: int, count: int) -> int:
    return int.from_bytes((b"\0" * (width - 1) + b"\x80") * count, "little")


@lru_cache(_MOST_SHAPES)
def _every_other(width: int, count: int) -> int:
    return int.from_bytes((b"\xff" * width + b"\0" * width) * (count // 2 + 1), "little")


NOTHING = tally({})
