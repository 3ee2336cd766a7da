"""What runs: status, heartbeats, instances, rollout, reconnect."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from mqtt_shared.messages import Heartbeat, ProductStatus

from ..answers import Done, InstancesPage, Reconnected, reply
from ..core.inputs import ReconnectInput
from ..core.model import Rollout
from ..routing import CURSOR, LIMIT, Call, Route
from .paths import CONFIG

if TYPE_CHECKING:
    from aiohttp import web

__all__ = ["ROUTES"]


async def status(call: Call) -> web.Response:
    return reply(await call.usecases.get_status(call.product_id))


async def report(call: Call) -> web.Response:
    await call.usecases.report_heartbeat(call.product_id, call.body)
    return reply(Done(message="Heartbeat accepted"), 202)


async def list_(call: Call) -> web.Response:
    page = await call.usecases.list_instances(call.product_id, *call.page)
    return reply(InstancesPage(instances=page.items, next_cursor=page.next_cursor))


async def rollout(call: Call) -> web.Response:
    return reply(await call.usecases.get_rollout(call.product_id, call.query["limit"]))


async def reconnect(call: Call) -> web.Response:
    only = call.body.instance_id or None
    count = await call.usecases.reconnect(call.product_id, call.actor, only)
    message = f"{count} instance{'' if count == 1 else 's'} told to reconnect"
    return reply(Reconnected(message=message, instances_notified=count))


_TAG = "Instances"
_EXAMPLE = {
    "product_id": 1,
    "instance_id": "shop-1",
    "boot_id": "018f0000-0000-7000-8000-000000000001",
    "seq": 1,
    "sent_at": "2026-01-31T08:00:05Z",
    "started_at": "2026-01-31T08:00:00Z",
    "connected": True,
    "applied_revision": 1,
    "counters": {"1": {"messages_received": 3, "last_message_at": "2026-01-31T08:00:04Z"}},
}

ROUTES = (
    Route(
        method="GET",
        path=f"{CONFIG}/status",
        name="get_status",
        tag=_TAG,
        summary="Connection status",
        description="Every field but `product_id` is null until the first heartbeat.",
        handler=status,
        role="viewer",
        answers={200: ProductStatus},
    ),
    Route(
        method="POST",
        path=f"{CONFIG}/status",
        name="report_heartbeat",
        tag=_TAG,
        summary="A heartbeat of an instance that cannot reach NATS",
        handler=report,
        role="operator",
        answers={202: Done},
        body=Heartbeat,
        example=_EXAMPLE,
    ),
    Route(
        method="GET",
        path=f"{CONFIG}/instances",
        name="list_instances",
        tag=_TAG,
        summary="Each instance as last heard of",
        handler=list_,
        role="viewer",
        answers={200: InstancesPage},
        query=(LIMIT, CURSOR),
    ),
    Route(
        method="GET",
        path=f"{CONFIG}/rollout",
        name="get_rollout",
        tag=_TAG,
        summary="How far the desired revision has come",
        description="The counts are over all live instances. `instances` lists up to `limit` of them, the "
        "rejected first, then drifted, pending, applied; all instances are at `/instances`, page by page.",
        handler=rollout,
        role="viewer",
        answers={200: Rollout},
        query=(
            structs.replace(LIMIT, default=200, most=1000, least=0, description="Most instances to list."),
        ),
    ),
    Route(
        method="POST",
        path=f"{CONFIG}/reconnect",
        name="reconnect",
        tag=_TAG,
        summary="Make the running instances reconnect, or one of them",
        handler=reconnect,
        role="operator",
        answers={200: Reconnected},
        body=ReconnectInput,
        body_optional=True,
        example={"instance_id": "shop-1"},
    ),
)
