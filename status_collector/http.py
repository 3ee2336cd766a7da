"""`/healthz`, `/readyz` and `/metrics`."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp import web
from msgspec import json

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from mqtt_shared.readiness import Readiness

    from .metrics import Metrics

__all__ = ["serve"]


@asynccontextmanager
async def serve(host: str, port: int, readiness: Readiness, metrics: Metrics) -> AsyncGenerator[int]:
    """Serve while the block runs; yields the port.

    Raises:
        OSError: the address cannot be listened on.
    """
    runner = web.AppRunner(_application(readiness, metrics), access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


def _application(readiness: Readiness, metrics: Metrics) -> web.Application:
    async def healthz(_request: web.Request) -> web.Response:
        return _json({"status": "ok"})

    async def readyz(_request: web.Request) -> web.Response:
        down = await readiness.down()
        return _json({"status": "not ready" if down else "ready", "down": down}, 503 if down else 200)

    async def exposition(_request: web.Request) -> web.Response:
        down = await readiness.down()
        for dependency in readiness.names:
            metrics.up.labels(dependency).set(dependency not in down)
        headers = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        return web.Response(body=metrics.exposition(), headers=headers)

    application = web.Application()
    application.router.add_get("/healthz", healthz)
    application.router.add_get("/readyz", readyz)
    application.router.add_get("/metrics", exposition)
    return application


def _json(value: object, status: int = 200) -> web.Response:
    return web.Response(body=json.encode(value), status=status, content_type="application/json")
