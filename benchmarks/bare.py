"""The floors: what the same libraries do with nothing of ours around them."""

from __future__ import annotations

import asyncio
import sys

import asyncpg
import nats
from aiohttp import web

__all__ = ["main"]


async def _app(database_url: str, nats_url: str) -> web.Application:
    pool = await asyncpg.create_pool(database_url, min_size=4, max_size=10)
    bus = await nats.connect(nats_url)  # pyright: ignore[reportUnknownMemberType] - untyped options
    await pool.execute(
        "create table if not exists bare (id integer primary key, content text, changed integer)"
    )
    await pool.execute("insert into bare values (1, repeat('x', 1500), 0) on conflict do nothing")

    async def read(request: web.Request) -> web.Response:
        row = await pool.fetchrow("select content from bare where id = $1", int(request.match_info["id"]))
        return web.Response(body=str(row["content"]).encode(), content_type="application/json")

    async def write(request: web.Request) -> web.Response:
        await request.read()
        await pool.execute(
            "update bare set changed = changed + 1 where id = $1", int(request.match_info["id"])
        )
        return web.Response(body=b"{}", content_type="application/json")

    async def chain(request: web.Request) -> web.Response:
        body = await request.read()
        await pool.execute(
            "update bare set changed = changed + 1 where id = $1", int(request.match_info["id"])
        )
        await bus.publish("bare.changed", body)
        return web.Response(body=b"{}", content_type="application/json")

    app = web.Application()
    app.add_routes(
        [web.get("/read/{id}", read), web.put("/write/{id}", write), web.put("/chain/{id}", chain)]
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
