"""Buffer, drops, statements and the command."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import asyncpg
import pytest

from mqtt_shared.settings import InvalidSettingsError, load
from status_collector import sql
from status_collector.buffer import Buffer
from status_collector.core.credit import Credit
from status_collector.core.liveness import liveness
from status_collector.drops import Drops
from status_collector.metrics import Metrics
from status_collector.settings import CollectorSettings
from status_collector.store import Store

from .support import EPOCH, Database, hear, heartbeat

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Mapping


def put(buffer: Buffer, instance: str, messages: int = 1, seq: int = 1) -> None:
    buffer.put(hear(heartbeat({1: messages}, instance_id=instance, seq=seq), 0), "reply")


def test_the_buffer_holds_one_value_per_boot_and_knows_its_room() -> None:
    buffer = Buffer(size=10, capacity=2)
    put(buffer, "i1", 5, seq=2)
    put(buffer, "i1", 3, seq=1)
    put(buffer, "i1", 7, seq=3)
    assert buffer.room == 1
    put(buffer, "i2")
    assert buffer.room == 0
    batch = buffer.take()
    assert buffer.room == 0, "what is being flushed still needs room"
    buffer.done()
    assert buffer.room == 2
    heard = next(each for key, each in batch.heard.items() if key.instance_id == "i1")
    assert (heard.heartbeat.seq, heard.tally.counters()[1].messages_received) == (3, 7)


def test_a_batch_that_was_not_stored_waits_with_what_came_since() -> None:
    buffer = Buffer(size=10, capacity=5)
    put(buffer, "i1", 5)
    batch = buffer.take()
    put(buffer, "i1", 6, seq=2)
    put(buffer, "i2")
    buffer.put_back(batch)
    again = buffer.take()
    assert sorted(each.tally.counters()[1].messages_received for each in again.heard.values()) == [1, 6]
    assert again.heard.keys() == again.acknowledge.keys()


def test_no_more_is_asked_for_than_there_is_room_for() -> None:
    credit = Credit(most=10)
    assert credit.ask(room=0, until=5) is None
    assert credit.ask(room=4, until=5) == ("1", 4)
    assert credit.ask(room=4, until=5) is None, "all of it is on its way"
    credit.came()
    assert credit.ask(room=3, until=5) is None, "more than half of it is on its way"
    credit.came()
    assert credit.ask(room=20, until=6) == ("2", 8), "two are on their way still"
    assert credit.left == 10
    # The oldest request is filled first.
    credit.came()
    credit.came()
    credit.over("1")
    assert credit.left == 8
    credit.came()
    credit.over("2")
    credit.over("2")
    assert credit.left == 0
    credit.came()
    assert credit.left == 0, "one of a request that was given up"


def test_a_request_that_nobody_answers_is_given_up() -> None:
    credit = Credit(most=10)
    assert credit.ask(room=2, until=5) == ("1", 2)
    assert credit.ask(room=10, until=7) == ("2", 8)
    credit.expire(4.9)
    assert credit.left == 10
    credit.expire(5)
    assert credit.left == 8
    credit.clear()
    assert (credit.left, credit.ask(room=10, until=9)) == (0, ("3", 10))


async def test_a_full_buffer_is_due_at_once() -> None:
    buffer = Buffer(size=1, capacity=5)
    put(buffer, "i1")
    await buffer.due(1000)


def test_drops_are_all_counted_and_logged_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    metrics = Metrics()
    drops = Drops(metrics, lambda: now[0])
    for at in (0, 1, 59, 61):
        now[0] = at
        drops.count("malformed", "source-1", "why")
    drops.count("malformed", "source-2", "why")
    counted = metrics.registry.get_sample_value(
        "status_collector_heartbeats_dropped_total", {"reason": "malformed"}
    )
    assert counted == 5
    assert [getattr(line, "source", None) for line in caplog.records].count("source-1") == 2


async def test_the_statement_and_the_rule_of_liveness_agree(database: Database, collector_url: str) -> None:
    product, _ = await database.product("lamps")
    now = await database.connection.fetchval("select clock_timestamp()")
    silences = [0, 5, 10, 20, 60, 3600]
    states = ("live", "stale", "stopped")
    for state in states:
        for silent in silences:
            await database.connection.execute(
                "insert into mqtt_instances (product_id, instance_id, state, boot_id, seq, started_at,"
                " sent_at, last_heartbeat_at, interval_seconds, connected)"
                " values ($1, $2, $3, 'b', 1, $4, $4, $5, 5, true)",
                product,
                f"{state}-{silent}",
                state,
                EPOCH,
                now - timedelta(seconds=silent),
            )
    since = now - timedelta(seconds=30)
    async with Store.open(collector_url) as store, store.transaction() as transaction:
        marked = await transaction.mark_stale(since, [product])
    wanted = {
        f"{state}-{silent}"
        for state in states
        for silent in silences
        if state != liveness(state, now - timedelta(seconds=silent), 5, now, since)
    }
    assert {key.instance_id for key in marked} == wanted == {"live-20", "live-60", "live-3600"}


async def test_every_statement_is_valid_for_the_login(collector_url: str) -> None:
    connection: Any = await cast("Any", asyncpg).connect(collector_url)
    for name in ("flush", "sweep"):
        for statement in sql.load(name).values():
            await connection.prepare(statement)
    await connection.close()


def _settings(**given: str) -> Mapping[str, str]:
    return {"database_url": "postgresql://collector@db.example.com/mqtt"} | given


def test_all_wrong_settings_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    wrong = {
        "database_url": "mysql://db.example.com",
        "http_port": "70000",
        "flush_interval_seconds": "0",
        "nats_root": "A.B",
        "boot_retention_days": "1",
    }
    with pytest.raises(InvalidSettingsError) as raised:
        load(CollectorSettings, wrong)
    named = {line.split(":")[0] for line in str(raised.value).splitlines()}
    assert named == {name.upper() for name in wrong}


def test_the_password_is_not_shown() -> None:
    settings = load(CollectorSettings, _settings(database_url="postgresql://a:made-up@db.example.com/x"))
    assert "made-up" not in repr(settings)


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--help"], 0, "FLUSH_INTERVAL_SECONDS"),
        (["--version"], 0, "status-collector, version"),
        ([], 2, "DATABASE_URL: is required"),
        (["run"], 2, "DATABASE_URL: is required"),
        (["--no-such-option"], 2, "No such option"),
    ],
)
def test_the_command(arguments: list[str], code: int, text: str, tmp_path: pathlib.Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "status_collector", *arguments],
        capture_output=True,
        text=True,
        env={"PATH": "", "HOME": str(tmp_path)},
        check=False,
    )
    assert ended.returncode == code
    assert text in ended.stdout + ended.stderr
