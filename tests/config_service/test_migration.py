"""The schema: versions, and constraints that mirror the validation."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest
from msgspec import msgpack

from config_service import migration
from config_service.backend import BackendSettings, open_backend
from mqtt_shared import sealing
from tests.support.servers import execute, fetch_value


async def test_upgrade_is_safe_at_once_and_twice(empty_database_url: str) -> None:
    url = empty_database_url
    with pytest.raises(migration.OlderDatabaseError):
        migration.check(url)
    await asyncio.gather(*(asyncio.to_thread(migration.upgrade, url) for _ in range(3)))
    migration.upgrade(url.replace("postgresql://", "postgres://"))
    migration.check(url)


async def test_counters_of_boots_are_kept_packed(empty_database_url: str) -> None:
    url = empty_database_url
    migration.upgrade(url, "0005")
    counters = (
        '{"7": {"messages_received": 5, "actions_executed": 4, "actions_failed": 1,'
        ' "last_message_at": "2026-01-02T03:04:05.678Z", "latency": [1, 5]}, "8": {"messages_received": 2}}'
    )
    execute(
        url,
        _PRODUCT,
        "insert into mqtt_instances (product_id, instance_id, state, boot_id, seq, started_at, sent_at,"
        " last_heartbeat_at, interval_seconds, connected)"
        " values (1, 'i1', 'live', 'b2', 3, now(), now(), now(), 5, true)",
        f"insert into mqtt_instance_boots values (1, 'i1', 'b1', 9, '{counters}')",
        "insert into mqtt_instance_boots values (1, 'i1', 'b2', 3, '{}')",
    )
    migration.upgrade(url)
    kept = "select counters from mqtt_instance_boots where boot_id = 'b1'"
    at = datetime(2026, 1, 2, 3, 4, 5, 678_000, UTC)
    assert msgpack.decode(await fetch_value(url, kept)) == {7: [5, 4, 1, at, [1, 5]], 8: [2, 0, 0, None, []]}
    assert msgpack.decode(await fetch_value(url, "select counters from mqtt_instances")) == {}


async def test_a_newer_database_is_refused(database_url: str) -> None:
    execute(database_url, "update alembic_version set version_num = '9999'")
    for work in (migration.upgrade, migration.check):
        with pytest.raises(migration.NewerDatabaseError, match="9999"):
            work(database_url)
    with pytest.raises(migration.NewerDatabaseError):
        async with open_backend(BackendSettings(database_url=database_url, keys=(sealing.new_key(),))):
            pass
    assert await fetch_value(database_url, "select version_num from alembic_version") == "9999"


_PRODUCT = "insert into products (id, name, product_key, product_key_id) values (1, 'p', 'k', 'i')"
_CONFIG = "insert into mqtt_configs (id, product_id, broker_host, revision) values (1, 1, 'h', 1)"
_SUBSCRIPTION = "insert into mqtt_subscriptions (id, mqtt_config_id, name) values (1, 1, 'one')"

BAD = [
    ("products", "name", ""),
    ("products", "name", "x" * 101),
    ("products", "description", "x" * 1001),
    ("products", "variables", "[]"),
    *(("mqtt_configs", "broker_host", host) for host in ("", "a b", "a/b", "mqtt://a", "a:1", "u@a")),
    ("mqtt_configs", "broker_host", "x" * 256),
    *(("mqtt_configs", "broker_port", port) for port in (0, 65536)),
    ("mqtt_configs", "username", "x" * 256),
    ("mqtt_configs", "client_id", ""),
    ("mqtt_configs", "client_id", "x" * 256),
    *(("mqtt_configs", "keep_alive", seconds) for seconds in (9, 3601)),
    *(("mqtt_configs", "topic_prefix", part) for part in ("", "x" * 256)),
    *(("mqtt_configs", "topic_pattern", part) for part in ("", "x" * 256)),
    *(("mqtt_configs", "shared_group", group) for group in ("", "a/b", "a+", "a#", "x" * 101, None)),
    *(("mqtt_configs", "qos", qos) for qos in (-1, 3)),
    ("mqtt_configs", "revision", 0),
    ("mqtt_configs", "published_revision", 2),
    *(("mqtt_subscriptions", "name", name) for name in ("", "A", "1a", "a-b", "a\n", "x" * 101)),
    *(("mqtt_subscriptions", "topic", topic) for topic in ("", "x" * 513)),
    ("mqtt_subscriptions", "description", "x" * 1001),
    ("mqtt_subscriptions", "actions", "{}"),
    ("mqtt_subscriptions", "actions", str([1] * 51)),
    ("mqtt_subscriptions", "messages_received", -1),
]  # fmt: skip


async def test_the_database_refuses_what_the_api_refuses(database_url: str) -> None:
    execute(database_url, _PRODUCT, _CONFIG, _SUBSCRIPTION)
    driver: Any = asyncpg
    connection: Any = await driver.connect(database_url)
    try:
        for table, column, value in BAD:
            literal = "null" if value is None else "'" + str(value) + "'"
            with pytest.raises(asyncpg.CheckViolationError, match=table):
                await connection.execute(f"update {table} set {column} = {literal}")
        for host in ("::1", "fe80:0:0:0:0:0:0:1", "::ffff:10.0.0.1", "mqtt_1", "a.example.com"):
            await connection.execute("update mqtt_configs set broker_host = $1", host)
        for again in (_PRODUCT.replace("(1,", "(2,"), _SUBSCRIPTION.replace("(1, 1,", "(2, 1,")):
            with pytest.raises(asyncpg.UniqueViolationError):
                await connection.execute(again)
    finally:
        await connection.close()
