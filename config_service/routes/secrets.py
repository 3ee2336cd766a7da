"""Named secrets of a product."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..answers import Removed, SecretsPage, SecretWritten, follow, outcome, removed, reply
from ..core.inputs import SecretInput
from ..routing import CURSOR, DRY_RUN, LIMIT, Call, Route
from .paths import PRODUCT

if TYPE_CHECKING:
    from aiohttp import web

__all__ = ["ROUTES"]


async def list_(call: Call) -> web.Response:
    page, missing = await call.usecases.list_secrets(call.product_id, *call.page)
    return reply(SecretsPage(secrets=page.items, missing=missing, next_cursor=page.next_cursor))


async def put(call: Call) -> web.Response:
    change = await call.usecases.put_secret(call.product_id, call.name, call.body, await call.write())
    more, headers = await follow(call, change.revision)
    dry_run = call.query["dry_run"]
    fields = outcome(call, change) | {"revision": change.revision or None}
    answer = SecretWritten(
        message="Nothing was written: this was a dry run" if dry_run else "Secret stored successfully",
        secret=change.value,
        **fields,
        **more,
    )
    return reply(answer, revision=change.revision or None, headers=headers)


async def delete(call: Call) -> web.Response:
    change = await call.usecases.delete_secret(call.product_id, call.name, await call.write())
    return await removed(call, change, "Secret removed successfully")


_TAG = "Secrets"
_SECRETS = f"{PRODUCT}/secrets"
_SECRET = f"{_SECRETS}/{{name}}"

ROUTES = (
    Route(
        method="GET",
        path=_SECRETS,
        name="list_secrets",
        tag=_TAG,
        summary="The product's named secrets, without values, and those that actions miss",
        handler=list_,
        role="viewer",
        answers={200: SecretsPage},
        query=(LIMIT, CURSOR),
    ),
    Route(
        method="PUT",
        path=_SECRET,
        name="put_secret",
        tag=_TAG,
        summary="Create a named secret or change its value, which is never shown again",
        description="Actions refer to it in their templates as `{{ secrets.<name> }}`. Where the product has "
        "a configuration, this makes a new revision of it.",
        handler=put,
        role="operator",
        answers={200: SecretWritten},
        query=(DRY_RUN,),
        body=SecretInput,
        example={"value": "a-made-up-value"},
        etag=True,
        if_match=True,
        prefer=True,
    ),
    Route(
        method="DELETE",
        path=_SECRET,
        name="delete_secret",
        tag=_TAG,
        summary="Remove a named secret; refused while an action refers to it",
        handler=delete,
        role="operator",
        answers={200: Removed},
        query=(DRY_RUN,),
        problems=(409,),
        etag=True,
        if_match=True,
        prefer=True,
    ),
)
