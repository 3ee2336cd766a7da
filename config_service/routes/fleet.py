"""The fleet, and what its products can be told to do."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from msgspec import structs

from ..answers import ActionType, ActionTypes, Fleet, reply
from ..core import actions
from ..routing import CURSOR, LIMIT, Call, Route
from .paths import BASE

if TYPE_CHECKING:
    from aiohttp import web

__all__ = ["ROUTES"]


async def fleet(call: Call) -> web.Response:
    assert call.principal
    page = await call.usecases.list_fleet(*call.page, call.principal.product_ids)
    return reply(Fleet(products=page.items, next_cursor=page.next_cursor))


async def action_types(_: Call) -> web.Response:
    return reply(_ACTION_TYPES)


_ACTION_TYPES = ActionTypes(
    action_types=[
        ActionType(
            type=name,
            description=inspect.getdoc(config) or "",
            built_in=True,
            schema=actions.schema(name),
        )
        for name, config in actions.KNOWN.items()
    ]
)

ROUTES = (
    Route(
        method="GET",
        path=f"{BASE}/fleet",
        name="list_fleet",
        tag="Fleet",
        summary="All products at a glance; those of the token only",
        handler=fleet,
        role="viewer",
        answers={200: Fleet},
        query=(structs.replace(LIMIT, most=1000), CURSOR),
    ),
    Route(
        method="GET",
        path=f"{BASE}/action-types",
        name="list_action_types",
        tag="Subscriptions",
        summary="The action types that every instance can run, with their schemas",
        handler=action_types,
        role="viewer",
        answers={200: ActionTypes},
    ),
)
