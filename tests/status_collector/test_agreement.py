"""Whoever takes in a heartbeat decides alike: what the API accepts is counted, what is counted is stored."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from config_service.core.errors import InvalidInputError
from config_service.core.validation import MalformedJsonError, read
from mqtt_shared import heartbeats
from mqtt_shared.messages import Heartbeat, MalformedMessageError, encode
from mqtt_shared.subjects import Subjects
from status_collector.core.check import ForeignHeartbeatError, check
from tests.support.waiting import eventually

from .support import Database, heartbeat, send
from .test_collecting import metric, ready

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nats.aio.client import Client

    from .conftest import Collectors

SUBJECTS = Subjects()
_TEXTS = ["", "a", "a.b", "*", ">", "é", "\0", "\ud800", "x" * 2000, "x" * 2001]
_KEYS = ["1", "07", "0", "-1", "1e3", "x", "", "\uff11", str(2**31 - 1), str(2**31), str(2**63)]
_NUMBERS = [0, 1, -1, 2**31, 2**53, 2**53 + 1, 2**63 - 1, 2**63, 10**30, 0.5, -0.0, 1e308, True, None]
_TIMES = [
    *("2026-01-01T00:00:00Z", "2026-01-01T00:00:00", "2026-06-30T23:59:60Z", "2026-01-01", 5, None),
    *("0001-01-01T00:00:00Z", "0001-01-01T00:00:00+05:00", "9999-12-31T23:59:59-05:00"),
]
_BUCKETS: list[Any] = [[], [1] * 15, [1] * 100, [1] * 101, [2**53], [2**53 + 1], [-1], ["a"], None]
_TYPES: list[Any] = [[], ["a"], ["\0"], ["a"] * 1000, ["a"] * 1001, ["x" * 2001], [1], None]


class Odd:
    """Heartbeats with a field or three that are at the edge of what may be, or beyond it."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def heartbeats(self, count: int) -> Iterator[dict[str, Any]]:
        """As JSON objects; the first is a good one."""
        plain = json.loads(encode(heartbeat({1: 1})))
        yield plain
        for _ in range(count):
            changed = self.random.sample(sorted(self._fields()), self.random.randrange(1, 4))
            yield plain | {name: self._fields()[name] for name in changed}

    def _fields(self) -> dict[str, Any]:
        pick = self.random.choice
        texts = (
            "instance_id",
            "boot_id",
            "host",
            "client_id",
            "connection_error",
            "applied_digest",
            "key_id",
        )
        return {
            **{name: pick(_TEXTS) for name in texts},
            **{name: pick(_NUMBERS) for name in ("seq", "interval", "applied_revision", "connected")},
            **{name: pick(_TIMES) for name in ("sent_at", "started_at", "connected_since")},
            "subscribed_topics_count": pick([*_NUMBERS, 10**6, 10**6 + 1]),
            "broker_info": pick([None, {}, [1], self._deep(pick([1, 19, 20, 31])), {"a": "x" * 17_000}]),
            "rejected": pick([None, {}, {"revision": pick(_NUMBERS), "error": pick(_TEXTS)}]),
            "counters": {pick(_KEYS): self._counters() for _ in range(pick([0, 1, 3]))},
            "latency": pick([None, {}, {"bounds": pick([[], [0.1] * 101]), "counts": pick(_BUCKETS)}]),
            "action_types": pick(_TYPES),
        }

    def _counters(self) -> dict[str, Any]:
        pick = self.random.choice
        made = {"messages_received": pick(_NUMBERS), "actions_executed": pick(_NUMBERS)}
        return made | {"last_message_at": pick(_TIMES), "latency": pick(_BUCKETS)}

    def _deep(self, levels: int) -> Any:
        pick = self.random.choice
        return {"a": self._deep(levels - 1)} if levels else pick([*_NUMBERS, *_TEXTS, 1e300, 2**64])


def taken_by_the_api(raw: bytes) -> Heartbeat | None:
    try:
        beat = read(raw, Heartbeat)
    except (InvalidInputError, MalformedJsonError):
        return None
    return None if list(heartbeats.faults(beat)) else beat


def taken_by_the_collector(raw: bytes, product: object, instance: object, boot: object) -> bool:
    """Anything but these two errors would leave the message in the stream for ever."""
    subject = f"{SUBJECTS.root}.heartbeat.{product}.{instance}.{boot}"
    try:
        check(subject, raw, 0, datetime.now(UTC))
    except (MalformedMessageError, ForeignHeartbeatError):
        return False
    return True


def test_what_the_api_accepts_the_collector_counts() -> None:
    accepted = 0
    for body in Odd(1).heartbeats(5_000):
        raw = json.dumps(body).encode()
        taken = taken_by_the_collector(raw, body["product_id"], body["instance_id"], body["boot_id"])
        if beat := taken_by_the_api(raw):
            accepted += 1
            assert taken, body
            assert taken_by_the_collector(encode(beat), beat.product_id, beat.instance_id, beat.boot_id), body
    assert 50 < accepted < 2_500


def test_bytes_that_are_no_heartbeat_raise_nothing_else() -> None:
    source = random.Random(2)
    good = encode(heartbeat({1: 1}, connection_error="it's refused"))
    for _ in range(5_000):
        raw = bytearray(good[: source.randrange(1, len(good) + 1)])
        for _ in range(source.randrange(4)):
            raw[source.randrange(len(raw))] = source.randrange(256)
        taken_by_the_collector(bytes(raw), 1, "i1", "b1")


async def test_what_the_collector_counts_the_database_takes(
    collectors: Collectors, database: Database, client: Client, nats_root: str
) -> None:
    product, _ = await database.product("lamps")
    sent = 0
    async with collectors(redelivery_seconds=300) as running:
        await ready(running)
        for number, body in enumerate(Odd(3).heartbeats(3_000)):
            named = {**body, "product_id": product, "instance_id": f"i{number}"}
            raw = json.dumps(named).encode()
            boot = body["boot_id"]
            if taken_by_the_collector(raw, product, f"i{number}", boot):
                sent += 1
                await client.publish(Subjects(nats_root).heartbeat(product, f"i{number}", boot), raw)
        await send(client, nats_root, heartbeat(product_id=product, instance_id="last"))

        async def last() -> bool:
            return await database.instance(product, "last") is not None

        await eventually(last)
        await eventually(lambda: metric(running, "consumer_unacknowledged") == 0)
        assert sent > 100
        assert metric(running, "heartbeats_received_total") == sent + 1
        assert metric(running, "heartbeats_dropped_total", reason="malformed") == 0
        assert metric(running, "heartbeats_dropped_total", reason="refused") == 0
        assert await database.connection.fetchval("select count(*) from mqtt_instances") == sent + 1
