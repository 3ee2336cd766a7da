"""`/healthz`, `/readyz` and `/metrics`."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from .metrics import Metrics

__all__ = ["serve"]

Down = dict[str, str]


@asynccontextmanager
async def serve(host: str, port: int, down: Callable[[], Down], metrics: Metrics) -> AsyncGenerator[int]:
    """Serve while the block runs; yields the port. `down` names what is down, and why.

    Raises:
        OSError: the address cannot be listened on.
    """
    runner = web.AppRunner(_application(down, metrics), access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


def _application(down: Callable[[], Down], metrics: Metrics) -> web.Application:
    async def healthz(_request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def readyz(_request: web.Request) -> web.Response:
        problems = down()
        status = "unavailable" if problems else "ready"
        return web.json_response({"status": status, "down": problems}, status=503 if problems else 200)

    async def exposition(_request: web.Request) -> web.Response:
        headers = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        return web.Response(body=metrics.exposition(), headers=headers)

    application = web.Application()
    application.router.add_get("/healthz", healthz)
    application.router.add_get("/readyz", readyz)
    application.router.add_get("/metrics", exposition)
    return application
