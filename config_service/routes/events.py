"""The live stream (WHATWG HTML, 9.2: server-sent events)."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from aiohttp import web

from mqtt_shared.messages import ProductChanged, StatusChanged

from ..auth import check_product
from ..core.errors import UnavailableError
from ..core.model import ConfigChanged, RolloutCounts
from ..live import Ping
from ..problem import UnauthorizedError
from ..routing import Call, Query, Route, authenticate
from .paths import BASE

if TYPE_CHECKING:
    from ..feed import Stream

__all__ = ["ROUTES"]

_PING_SECONDS = 5.0
# A client that takes nothing for so long is gone, or as good as gone.
_WRITE_SECONDS = 20.0
_HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    # A proxy must not keep events back.
    "X-Accel-Buffering": "no",
}
_RETRY = b"retry: 1000\n"


async def stream(call: Call) -> web.StreamResponse:
    products = await _products(call)
    request = call.request
    transport = request.transport
    assert transport
    last_id = request.headers.get("Last-Event-ID") or call.query["last_event_id"]
    response = web.StreamResponse(headers=_HEADERS)
    with call.service.feed.stream(products, last_id, transport.abort) as events:
        try:
            await response.prepare(request)
            await response.write(_RETRY)
            await _send(call, response, events)
        except (ConnectionError, TimeoutError):
            transport.abort()
    return response


async def _products(call: Call) -> frozenset[int] | None:
    assert call.principal
    product_id: int | None = call.query["product_id"]
    if product_id is not None:
        check_product(call.principal, product_id)
        await call.usecases.get_product(product_id)
        return frozenset((product_id,))
    own = call.principal.product_ids
    return None if own is None else frozenset(own)


async def _send(call: Call, response: web.StreamResponse, events: Stream) -> None:
    loop = asyncio.get_running_loop()
    while not events.ended and await _may_go_on(call):
        # In one go: the id of the ping tells that the client has everything before it.
        ping = call.service.feed.ping(Ping(at=datetime.now(UTC), nats=call.service.hears))
        await _write(response, events.drain() + ping)
        until = loop.time() + _PING_SECONDS
        while not events.ended and (left := until - loop.time()) > 0:
            await _write(response, await events.take(left))


async def _write(response: web.StreamResponse, data: bytes) -> None:
    if data:
        async with asyncio.timeout(_WRITE_SECONDS):
            await response.write(data)


async def _may_go_on(call: Call) -> bool:
    """Is the token or session still good?"""
    try:
        return await authenticate(call) == call.principal
    except UnauthorizedError:
        return False
    except UnavailableError:
        return True


ROUTES = (
    Route(
        method="GET",
        path=f"{BASE}/events",
        name="stream_events",
        tag="Events",
        summary="What happens, as it happens (server-sent events)",
        description="Resumes after `Last-Event-ID` where it can; where it cannot, the event `reset` says to "
        "read everything anew. `ping` comes every 5 seconds. A client that is too slow is cut off.",
        handler=stream,
        role="viewer",
        answers={200: "text/event-stream"},
        events={
            "status": StatusChanged,
            "rollout": RolloutCounts,
            "config": ConfigChanged,
            "product": ProductChanged,
            "ping": Ping,
        },
        query=(
            Query(
                name="product_id",
                kind="integer",
                least=1,
                most=2**31 - 1,
                description="Only the events of this product.",
            ),
            Query(
                name="last_event_id",
                kind="string",
                least=1,
                most=40,
                description="As the header `Last-Event-ID`, which goes before it.",
            ),
        ),
    ),
)
