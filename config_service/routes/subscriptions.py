"""Subscriptions of a product."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from ..answers import (
    Removed,
    SubscriptionAnswer,
    SubscriptionsPage,
    SubscriptionWritten,
    extended,
    follow,
    outcome,
    removed,
    reply,
)
from ..core.inputs import SampleInput, SubscriptionInput, SubscriptionPatch
from ..core.model import Sample
from ..preconditions import not_modified
from ..routing import CURSOR, DRY_RUN, LIMIT, LIVE, Call, Route
from .paths import SUBSCRIPTION, SUBSCRIPTIONS

if TYPE_CHECKING:
    from ..core.model import Change, Subscription

__all__ = ["ROUTES"]


async def list_(call: Call) -> web.Response:
    live: bool = call.query["live"]
    page = await call.usecases.list_subscriptions(call.product_id, *call.page, live=live)
    if not live and page.revision and not_modified(call.request.headers, page.revision):
        return web.Response(status=304, headers={"ETag": f'"{page.revision}"'})
    answer = SubscriptionsPage(subscriptions=page.items, next_cursor=page.next_cursor, revision=page.revision)
    return reply(answer, revision=page.revision)


async def create(call: Call) -> web.Response:
    change = await call.usecases.create_subscription(call.product_id, call.body, await call.write())
    if call.query["dry_run"]:
        return await _itself(call, change)
    location = f"{call.request.path}/{change.value.id}"
    return await _itself(call, change, 201, {"Location": location})


async def try_sample(call: Call) -> web.Response:
    return reply(await call.usecases.try_sample(call.product_id, call.body))


async def read(call: Call) -> web.Response:
    live: bool = call.query["live"]
    found, revision = await call.usecases.get_subscription(
        call.product_id, call.ids["subscription_id"], live=live
    )
    if not live and not_modified(call.request.headers, revision):
        return web.Response(status=304, headers={"ETag": f'"{revision}"'})
    return reply(extended(SubscriptionAnswer, found, revision=revision), revision=revision)


async def patch(call: Call) -> web.Response:
    return await _itself(call, await _update(call))


async def put(call: Call) -> web.Response:
    change = await _update(call)
    more, headers = await follow(call, change.revision)
    dry_run = call.query["dry_run"]
    answer = SubscriptionWritten(
        message="Nothing was written: this was a dry run" if dry_run else "Subscription updated successfully",
        subscription=change.value,
        **outcome(call, change),
        **more,
    )
    return reply(answer, revision=change.revision, headers=headers)


async def delete(call: Call) -> web.Response:
    change = await call.usecases.delete_subscription(
        call.product_id, call.ids["subscription_id"], await call.write()
    )
    return await removed(call, change, "Subscription removed successfully")


async def _update(call: Call) -> Change[Subscription]:
    return await call.usecases.update_subscription(
        call.product_id, call.ids["subscription_id"], call.body, await call.write()
    )


async def _itself(
    call: Call, change: Change[Subscription], status: int = 200, headers: dict[str, str] | None = None
) -> web.Response:
    more, preference = await follow(call, change.revision)
    answer = extended(SubscriptionAnswer, change.value, **outcome(call, change), **more)
    return reply(answer, status, revision=change.revision, headers={**(headers or {}), **preference})


_TAG = "Subscriptions"
_EXAMPLE = {
    "name": "invoice_paid",
    "topic": None,
    "description": "An invoice was paid",
    "actions": [{"type": "http_webhook", "config": {"url": "https://example.com/hook", "method": "POST"}}],
}

ROUTES = (
    Route(
        method="GET",
        path=SUBSCRIPTIONS,
        name="list_subscriptions",
        tag=_TAG,
        summary="List subscriptions",
        handler=list_,
        role="viewer",
        answers={200: SubscriptionsPage},
        query=(LIVE, LIMIT, CURSOR),
        etag=True,
        if_none_match=True,
    ),
    Route(
        method="POST",
        path=SUBSCRIPTIONS,
        name="create_subscription",
        tag=_TAG,
        summary="Create a subscription",
        handler=create,
        role="operator",
        answers={201: SubscriptionAnswer, 200: SubscriptionAnswer},
        query=(DRY_RUN,),
        body=SubscriptionInput,
        example=_EXAMPLE,
        problems=(409,),
        etag=True,
        if_match=True,
        prefer=True,
    ),
    Route(
        method="POST",
        path=f"{SUBSCRIPTIONS}/dry-run",
        name="try_sample",
        tag=_TAG,
        summary="What would become of a message; nothing is sent",
        description="Which subscriptions match, which conditions hold, what each action would send. Named "
        "secrets count as `***`. Texts are told up to 10,000 characters.",
        handler=try_sample,
        role="operator",
        answers={200: Sample},
        body=SampleInput,
        example={
            "topic": "/v3/applications/shop/business-events/invoice-paid",
            "payload": {"invoice": {"id": 7, "paid": True}},
        },
        problems=(409,),
    ),
    Route(
        method="GET",
        path=SUBSCRIPTION,
        name="get_subscription",
        tag=_TAG,
        summary="One subscription",
        handler=read,
        role="viewer",
        answers={200: SubscriptionAnswer},
        query=(LIVE,),
        etag=True,
        if_none_match=True,
    ),
    Route(
        method="PUT",
        path=SUBSCRIPTION,
        name="put_subscription",
        tag=_TAG,
        summary="Enable, disable or change a subscription; all fields are optional",
        handler=put,
        role="operator",
        answers={200: SubscriptionWritten},
        query=(DRY_RUN,),
        body=SubscriptionPatch,
        example={"enabled": True},
        problems=(409,),
        etag=True,
        if_match=True,
        prefer=True,
    ),
    Route(
        method="PATCH",
        path=SUBSCRIPTION,
        name="patch_subscription",
        tag=_TAG,
        summary="Change a subscription; answers the subscription itself",
        handler=patch,
        role="operator",
        answers={200: SubscriptionAnswer},
        query=(DRY_RUN,),
        body=SubscriptionPatch,
        example={"enabled": False},
        problems=(409,),
        etag=True,
        if_match=True,
        prefer=True,
    ),
    Route(
        method="DELETE",
        path=SUBSCRIPTION,
        name="delete_subscription",
        tag=_TAG,
        summary="Remove a subscription",
        handler=delete,
        role="operator",
        answers={200: Removed},
        query=(DRY_RUN,),
        etag=True,
        if_match=True,
        prefer=True,
    ),
)
