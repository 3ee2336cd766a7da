"""What has happened: figures over time, and activity."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from ..answers import ActivityPage, reply
from ..core.history import MOST_POINTS, Range
from ..core.model import Metrics
from ..routing import CURSOR, LIMIT, Call, Query, Route
from .paths import CONFIG

if TYPE_CHECKING:
    from aiohttp import web

__all__ = ["ROUTES"]


async def metrics(call: Call) -> web.Response:
    query = call.query
    asked = Range(start=query["from"], end=query["to"], step_seconds=query["step"])
    return reply(await call.usecases.get_metrics(call.product_id, query["subscription_id"], asked))


async def activity(call: Call) -> web.Response:
    within = (call.query["from"], call.query["to"])
    page = await call.usecases.list_activity(call.product_id, *call.page, *within)
    return reply(ActivityPage(activity=page.items, next_cursor=page.next_cursor))


_TAG = "Activity"
_FROM = Query(name="from", kind="date-time", description="Beginning of the range; an hour before its end.")
_TO = Query(name="to", kind="date-time", description="End of the range; now, which is also the latest.")
_STEP = Query(
    name="step",
    kind="integer",
    least=60,
    most=366 * 86_400,
    description="Seconds of a point: a multiple of 60, from 3600 on of 3600. Left out: chosen to fit.",
)
_SUBSCRIPTION = Query(
    name="subscription_id",
    kind="integer",
    least=1,
    most=2**31 - 1,
    description="Of this subscription alone.",
)

ROUTES = (
    Route(
        method="GET",
        path=f"{CONFIG}/metrics",
        name="get_metrics",
        tag=_TAG,
        summary="Messages, actions, processing latency and connected instances over time",
        description=f"At most {MOST_POINTS} points, whatever the range; where nothing was heard, they are "
        "zeros. A range that begins where single minutes are not kept any more has steps of an hour or more.",
        handler=metrics,
        role="viewer",
        answers={200: Metrics},
        query=(_FROM, _TO, _STEP, _SUBSCRIPTION),
    ),
    Route(
        method="GET",
        path=f"{CONFIG}/activity",
        name="list_activity",
        tag=_TAG,
        summary="What happened to instances, and who changed the configuration; newest first",
        handler=activity,
        role="viewer",
        answers={200: ActivityPage},
        query=(
            structs.replace(LIMIT, most=1000),
            CURSOR,
            structs.replace(_FROM, description="Not what happened before."),
            structs.replace(_TO, description="Only what happened before."),
        ),
    ),
)
