"""Bearer tokens."""

from __future__ import annotations

from aiohttp import web

from ..answers import TokenCreated, TokensPage, extended, reply
from ..core.inputs import TokenInput
from ..routing import CURSOR, LIMIT, Call, Route
from .paths import BASE

__all__ = ["ROUTES"]


async def list_(call: Call) -> web.Response:
    page = await call.usecases.list_tokens(*call.page)
    return reply(TokensPage(tokens=page.items, next_cursor=page.next_cursor))


async def create(call: Call) -> web.Response:
    token, secret = await call.usecases.create_token(call.body, call.plain_write)
    return reply(extended(TokenCreated, token, token=secret), 201)


async def delete(call: Call) -> web.Response:
    await call.usecases.delete_token(call.ids["token_id"])
    return web.Response(status=204)


_TAG = "Tokens"

ROUTES = (
    Route(
        method="GET",
        path=f"{BASE}/tokens",
        name="list_tokens",
        tag=_TAG,
        summary="List tokens, without the tokens themselves",
        handler=list_,
        role="administrator",
        all_products=True,
        answers={200: TokensPage},
        query=(LIMIT, CURSOR),
    ),
    Route(
        method="POST",
        path=f"{BASE}/tokens",
        name="create_token",
        tag=_TAG,
        summary="Create a token, shown this once",
        handler=create,
        role="administrator",
        all_products=True,
        answers={201: TokenCreated},
        body=TokenInput,
        example={"name": "deployment", "role": "operator", "product_ids": [1]},
        problems=(409,),
    ),
    Route(
        method="DELETE",
        path=f"{BASE}/tokens/{{token_id}}",
        name="delete_token",
        tag=_TAG,
        summary="Remove a token",
        handler=delete,
        role="administrator",
        all_products=True,
        answers={204: None},
    ),
)
