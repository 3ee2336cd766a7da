"""Reads of a product with 100,000 instances beside bare handlers that select by the primary key."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, cast

import asyncpg

from .load import request_bytes
from .rest import compare

if TYPE_CHECKING:
    from .figures import Figure
    from .servers import Servers

__all__ = ["measure"]

_INSTANCES = 100_000
_LIMIT = 50
_STATEMENTS = (
    """
    insert into mqtt_connection_status
        (product_id, connected, instances_live, client_id, broker_info, updated_at)
    values ($1, true, $2, 'client-1', '{"host": "broker.example.com"}', now())
    """,
    """
    insert into mqtt_instances (
        product_id, instance_id, state, boot_id, seq, started_at, sent_at, last_heartbeat_at,
        interval_seconds, version, host, connected, connected_since, client_id, broker_info, applied_revision,
        applied_digest, subscribed_topics_count, action_types, key_id, counters
    )
    select $1, 'instance-' || lpad(n::text, 6, '0'), 'live', 'b1', 1, now(), now(), now(), 3600,
        '1.0.0', 'host.example.com', true, now(), 'client-' || n, '{"host": "broker.example.com"}', 1,
        repeat('d', 64), 10, '{http_webhook,smtp_email}', 'k1', convert_to(repeat('x', 850), 'UTF8')
    from generate_series(1, $2::int) n
    """,
)


async def measure(servers: Servers) -> list[Figure]:
    """The status, and pages of the instances from all over the product."""
    product = await servers.call("POST", "/products", {"name": "bench-large"})
    number = int(product["id"])
    await _fill(servers.database_url, number)
    path = f"/api/v1/products/{number}/mqtt-config"
    after = [f"instance-{n:06}" for n in range(0, _INSTANCES - _LIMIT, 997)]
    return [
        await compare(
            servers,
            "GET status, 100,000 instances",
            itertools.repeat(request_bytes("GET", f"{path}/status", servers.token)).__next__,
            itertools.repeat(request_bytes("GET", f"/status/{number}")).__next__,
            at_least=0.67,
        ),
        await compare(
            servers,
            f"GET instances, {_LIMIT} of 100,000",
            itertools.cycle(
                request_bytes("GET", f"{path}/instances?limit={_LIMIT}&cursor={one}", servers.token)
                for one in after
            ).__next__,
            itertools.cycle(
                request_bytes("GET", f"/instances/{number}?limit={_LIMIT}&cursor={one}") for one in after
            ).__next__,
            at_least=0.67,
        ),
    ]


async def _fill(database_url: str, product: int) -> None:
    connection: Any = await cast("Any", asyncpg).connect(database_url)
    for statement in _STATEMENTS:
        await connection.execute(statement, product, _INSTANCES)
    await connection.execute("vacuum analyze mqtt_instances")
    await connection.close()
