"""The history of a configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..answers import ConfigWritten, Diff, RevisionsPage, reply
from ..core.model import Revision
from ..routing import CURSOR, DRY_RUN, LIMIT, Call, Query, Route
from .configs import written
from .paths import CONFIG

if TYPE_CHECKING:
    from aiohttp import web

__all__ = ["ROUTES"]


async def list_(call: Call) -> web.Response:
    page = await call.usecases.list_revisions(call.product_id, *call.page)
    return reply(RevisionsPage(revisions=page.items, next_cursor=page.next_cursor))


async def read(call: Call) -> web.Response:
    return reply(await call.usecases.get_revision(call.product_id, call.ids["revision"]))


async def diff(call: Call) -> web.Response:
    revision, against = call.ids["revision"], call.query["against"]
    changes = await call.usecases.diff_revisions(call.product_id, revision, against)
    return reply(Diff(product_id=call.product_id, revision=revision, against=against, changes=changes))


async def restore(call: Call) -> web.Response:
    revision = call.ids["revision"]
    change = await call.usecases.restore_revision(call.product_id, revision, await call.write())
    return await written(call, change, f"Revision {revision} restored successfully")


_TAG = "History"
_REVISIONS = f"{CONFIG}/revisions"
_REVISION = f"{_REVISIONS}/{{revision}}"
_AGAINST = Query(
    name="against",
    kind="integer",
    required=True,
    least=1,
    most=2**63 - 1,
    description="The revision to compare with.",
)

ROUTES = (
    Route(
        method="GET",
        path=_REVISIONS,
        name="list_revisions",
        tag=_TAG,
        summary="Who changed what, and when; newest first",
        handler=list_,
        role="viewer",
        answers={200: RevisionsPage},
        query=(LIMIT, CURSOR),
    ),
    Route(
        method="GET",
        path=_REVISION,
        name="get_revision",
        tag=_TAG,
        summary="One change",
        handler=read,
        role="viewer",
        answers={200: Revision},
    ),
    Route(
        method="GET",
        path=f"{_REVISION}/diff",
        name="diff_revisions",
        tag=_TAG,
        summary="What differs between two revisions",
        handler=diff,
        role="viewer",
        answers={200: Diff},
        query=(_AGAINST,),
    ),
    Route(
        method="POST",
        path=f"{_REVISION}/restore",
        name="restore_revision",
        tag=_TAG,
        summary="Go back to a revision, as a new one",
        handler=restore,
        role="operator",
        answers={200: ConfigWritten},
        query=(DRY_RUN,),
        problems=(409,),
        etag=True,
        if_match=True,
        prefer=True,
    ),
)
