from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from mqtt_shared.heartbeats import MOST_COUNTED, faults, subscription_id
from mqtt_shared.messages import Counters, Heartbeat, Latency

NOW = datetime(2026, 1, 31, 8, tzinfo=UTC)
EARLIEST = datetime.min.replace(tzinfo=timezone(timedelta(hours=1)))


def heartbeat(**fields: Any) -> Heartbeat:
    given: dict[str, Any] = {
        "product_id": 1,
        "instance_id": "i",
        "boot_id": "b",
        "seq": 1,
        "sent_at": NOW,
        "started_at": NOW,
    }
    return Heartbeat(**(given | fields))


def nested(levels: int) -> dict[str, Any]:
    return {"inner": nested(levels - 1)} if levels else {}


def test_what_an_instance_sends_passes() -> None:
    counted = Counters(messages_received=MOST_COUNTED, last_message_at=NOW, latency=[1] * 15)
    beat = heartbeat(counters={"7": counted}, latency=Latency(counts=[3] * 15), broker_info=nested(5))
    assert not list(faults(beat))


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"seq": 2**63}, "seq"),
        ({"action_types": ["a"] * 1001}, "action_types"),
        ({"latency": Latency(bounds=[0.1] * 101)}, "latency.bounds"),
        ({"latency": Latency(counts=[1] * 101)}, "latency.counts"),
        ({"latency": Latency(counts=[2**53 + 1])}, "latency.counts"),
        ({"counters": {str(n): Counters() for n in range(1, 10_002)}}, "counters"),
        ({"counters": {"1": Counters(actions_failed=2**53 + 1)}}, "counters.1.actions_failed"),
        ({"counters": {"1": Counters(latency=[1] * 101)}}, "counters.1.latency"),
        ({"counters": {"1": Counters(last_message_at=EARLIEST)}}, "counters.1.last_message_at"),
        ({"counters": {"x": Counters()}}, "counters.x"),
        ({"broker_info": nested(21)}, "broker_info"),
        ({"broker_info": {"name": "x" * 20_000}}, "broker_info"),
        ({"broker_info": {"name": ["a\0b"]}}, "broker_info"),
        ({"broker_info": {"a\0b": 1}}, "broker_info"),
        ({"connected_since": EARLIEST}, "connected_since"),
    ],
)
def test_what_cannot_be_stored_is_named(fields: dict[str, Any], where: str) -> None:
    assert [".".join(loc) for loc, _ in faults(heartbeat(**fields))] == [where]


def test_all_faults_at_once() -> None:
    beat = heartbeat(seq=2**63, counters={"0": Counters(messages_received=2**60)}, broker_info=nested(40))
    assert [".".join(loc) for loc, _ in faults(beat)] == [
        "seq",
        "counters.0",
        "counters.0.messages_received",
        "broker_info",
    ]


def test_an_id_has_one_spelling() -> None:
    assert subscription_id("7") == 7
    assert subscription_id(str(2**31 - 1)) == 2**31 - 1
    for wrong in ("07", "0", "-1", "+1", " 1", "\u0661", "1e3", "", str(2**31), "9" * 5000):
        assert subscription_id(wrong) is None, wrong
