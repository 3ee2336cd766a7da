"""What machines ask about the service itself. No token is needed, and nothing secret is told."""

from __future__ import annotations

from typing import Any

from aiohttp import hdrs, web

from ..answers import Health, Readiness, reply
from ..metrics import CONTENT_TYPE
from ..routing import Call, Route

__all__ = ["ROUTES"]


async def health(_: Call) -> web.Response:
    return reply(Health())


async def readiness(call: Call) -> web.Response:
    down = await call.service.down()
    if down:
        return reply(Readiness(status="not ready", down=down), 503, headers={"Retry-After": "2"})
    return reply(Readiness(status="ready", down={}))


async def metrics(call: Call) -> web.Response:
    await call.service.measure()
    return web.Response(body=call.service.metrics.text(), headers={hdrs.CONTENT_TYPE: CONTENT_TYPE})


async def openapi(call: Call) -> web.Response:
    return web.Response(body=call.service.openapi, content_type="application/json")


_TAG = "Service"

ROUTES = (
    Route(
        method="GET",
        path="/healthz",
        name="health",
        tag=_TAG,
        summary="The process runs",
        handler=health,
        role=None,
        answers={200: Health},
    ),
    Route(
        method="GET",
        path="/readyz",
        name="readiness",
        tag=_TAG,
        summary="Whether requests can be served; tells what is down, since when, and what to do",
        handler=readiness,
        role=None,
        answers={200: Readiness, 503: Readiness},
    ),
    Route(
        method="GET",
        path="/metrics",
        name="metrics",
        tag=_TAG,
        summary="Metrics for Prometheus",
        handler=metrics,
        role=None,
        answers={200: "text/plain"},
    ),
    Route(
        method="GET",
        path="/api/openapi.json",
        name="openapi",
        tag=_TAG,
        summary="This document",
        handler=openapi,
        role=None,
        answers={200: dict[str, Any]},
    ),
)
