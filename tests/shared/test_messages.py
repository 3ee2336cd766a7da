"""The messages on NATS: what goes out comes in again, and versions live side by side."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from mqtt_shared.messages import (
    CommandReply,
    Counters,
    Heartbeat,
    MalformedMessageError,
    Reconnect,
    Snapshot,
    decode,
    encode,
    utc,
)

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
HEARTBEAT = Heartbeat(
    product_id=7,
    instance_id="one",
    boot_id="boot",
    seq=1,
    sent_at=AT,
    started_at=AT,
    counters={"1": Counters(messages_received=2, last_message_at=AT)},
)
# What the very first version would send: the required fields alone.
OLD: dict[type[Any], dict[str, Any]] = {
    Heartbeat: {
        "product_id": 7,
        "instance_id": "one",
        "boot_id": "boot",
        "seq": 1,
        "sent_at": "2026-01-02T03:04:05Z",
        "started_at": "2026-01-02T03:04:05Z",
    },
    Snapshot: {"product_id": 7, "revision": 1, "issued_at": "2026-01-02T03:04:05Z"},
    Reconnect: {"command": "reconnect"},
    CommandReply: {"instance_id": "one", "accepted": True},
}


@pytest.mark.parametrize("kind", OLD, ids=lambda kind: kind.__name__)
def test_new_reads_old_and_old_reads_new(kind: type[Any]) -> None:
    old = decode(json.dumps(OLD[kind]), kind)
    assert decode(encode(old), kind) == old
    assert decode(json.dumps(OLD[kind] | {"field_of_the_future": {"a": [1]}}), kind) == old


def test_times_are_utc_with_z() -> None:
    assert b'"sent_at":"2026-01-02T03:04:05Z"' in encode(HEARTBEAT)
    assert decode(encode(HEARTBEAT), Heartbeat) == HEARTBEAT
    east = AT.astimezone(timezone(timedelta(hours=2)))
    assert utc(east).isoformat() == AT.isoformat()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("product_id", 0),
        ("product_id", 2**31),
        ("product_id", "7"),
        ("instance_id", "a.b"),
        ("instance_id", ""),
        ("instance_id", "x" * 101),
        ("seq", -1),
        ("seq", 2**63),
        ("sent_at", "2026-01-02T03:04:05"),
        ("interval", 0),
        ("version", "a\x00b"),
        ("version", "x" * 2001),
        ("counters", {"1": {"messages_received": -1}}),
        ("connected", None),
        ("rejected", {"revision": 1}),
    ],
)
def test_what_no_store_could_keep_is_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(MalformedMessageError, match=field):
        decode(json.dumps(OLD[Heartbeat] | {field: value}), Heartbeat)


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"seq": NaN}'])
def test_what_is_no_message_is_refused(raw: bytes) -> None:
    with pytest.raises(MalformedMessageError):
        decode(raw, Heartbeat)
