"""The floors: what the same libraries do with nothing of ours around them."""

from __future__ import annotations

import asyncio
import sys
from typing import Any, cast

import asyncpg
import nats
from aiohttp import web

__all__ = ["main"]

_PAGE = """
select json_agg(i)::text from (
    select instance_id, state, boot_id, started_at, first_seen_at, last_heartbeat_at, interval_seconds,
        version, host, connected, connected_since, client_id, broker_info, connection_error,
        applied_revision, rejected_revision, rejected_error, subscribed_topics_count, messages_received,
        actions_executed, actions_failed, last_message_at, action_types, key_id
    from mqtt_instances where product_id = $1 and instance_id > $2 order by instance_id limit $3
) i
"""
"""One page by the primary key, of the columns that the API shows."""


async def _app(database_url: str, nats_url: str) -> web.Application:
    # Both libraries are partly untyped.
    pool: Any = await cast("Any", asyncpg).create_pool(database_url, min_size=4, max_size=10)
    bus: Any = await cast("Any", nats).connect(nats_url)
    await pool.execute(
        "create table if not exists bare (id integer primary key, content text, changed integer)"
    )
    await pool.execute(
        "insert into bare select i, repeat('x', 1500), 0 from generate_series(1, 64) i on conflict do nothing"
    )

    async def read(request: web.Request) -> web.Response:
        row = await pool.fetchrow("select content from bare where id = $1", int(request.match_info["id"]))
        return web.Response(body=str(row["content"]).encode(), content_type="application/json")

    async def status(request: web.Request) -> web.Response:
        number = int(request.match_info["id"])
        text = await pool.fetchval(
            "select to_json(s)::text from mqtt_connection_status s where product_id = $1", number
        )
        return web.Response(body=str(text).encode(), content_type="application/json")

    async def instances(request: web.Request) -> web.Response:
        number, after = int(request.match_info["id"]), request.query["cursor"]
        text = await pool.fetchval(_PAGE, number, after, int(request.query["limit"]))
        return web.Response(body=str(text).encode(), content_type="application/json")

    async def change(request: web.Request) -> None:
        number = int(request.match_info["id"])
        await pool.execute("update bare set changed = changed + 1 where id = $1", number)

    async def write(request: web.Request) -> web.Response:
        await request.read()
        await change(request)
        return web.Response(body=b"{}", content_type="application/json")

    async def chain(request: web.Request) -> web.Response:
        body = await request.read()
        await change(request)
        await bus.publish("bare.changed", body)
        return web.Response(body=b"{}", content_type="application/json")

    app = web.Application()
    app.add_routes(
        [
            web.get("/read/{id}", read),
            web.get("/status/{id}", status),
            web.get("/instances/{id}", instances),
            web.put("/write/{id}", write),
            web.put("/chain/{id}", chain),
        ]
    )
    return app


async def main(port: int, database_url: str, nats_url: str) -> None:
    """Serve the bare handlers until ended."""
    runner = web.AppRunner(await _app(database_url, nats_url), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    print("READY", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    arguments = main(int(sys.argv[1]), sys.argv[2], sys.argv[3])
    try:
        import uvloop
    except ImportError:
        asyncio.run(arguments)
    else:
        uvloop.run(arguments)
