"""Signing in and out: the dashboard has a cookie that no script can read instead of a token."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from aiohttp import web

from ..answers import Session, reply
from ..auth import ADMINISTRATOR, COOKIE, check_origin
from ..core.inputs import SessionInput
from ..problem import UnauthorizedError
from ..routing import Call, Route
from .paths import BASE

if TYPE_CHECKING:
    from ..core.model import Principal

__all__ = ["ROUTES"]

_LIFETIME_SECONDS = 12 * 3600


async def create(call: Call) -> web.Response:
    # Nobody shall be signed in under a name that another site has chosen.
    check_origin(call.request.headers, call.host, strict=False)
    authenticator, usecases = call.service.authenticator, call.usecases
    token: str = call.body.token
    principal = await authenticator.of_token(token, usecases.authenticate)
    # That of the administrator is not stored.
    stored = None if principal is ADMINISTRATOR else token
    cookie = secrets.token_urlsafe(32)
    if not await usecases.create_session(authenticator.session_hash(cookie), stored, _LIFETIME_SECONDS):
        raise UnauthorizedError("The token has just been deleted", given=True)
    response = reply(_answer(principal))
    response.set_cookie(
        COOKIE, cookie, max_age=_LIFETIME_SECONDS, httponly=True, samesite="Strict", secure=call.is_https
    )
    return response


async def read(call: Call) -> web.Response:
    assert call.principal
    return reply(_answer(call.principal))


async def delete(call: Call) -> web.Response:
    response = web.Response(status=204)
    if cookie := call.request.cookies.get(COOKIE):
        check_origin(call.request.headers, call.host, strict=True)
        await call.usecases.delete_session(call.service.authenticator.session_hash(cookie))
    response.del_cookie(COOKIE, httponly=True, samesite="Strict", secure=call.is_https)
    return response


def _answer(principal: Principal) -> Session:
    return Session(name=principal.name, role=principal.role, product_ids=principal.product_ids)


_TAG = "Session"
_PATH = f"{BASE}/session"

ROUTES = (
    Route(
        method="POST",
        path=_PATH,
        name="create_session",
        tag=_TAG,
        summary="Sign in with a token",
        description="Sets the cookie `session`, which every endpoint takes in place of a token, for 12 h. It "
        "ends when its token ends, and with another `ADMIN_TOKEN`. On unsafe methods with the cookie, "
        "`Sec-Fetch-Site` or `Origin` must tell that the request comes from a page of this service.",
        handler=create,
        role=None,
        answers={200: Session},
        body=SessionInput,
        example={"token": "a-made-up-token"},
        problems=(401, 403, 503),
    ),
    Route(
        method="GET",
        path=_PATH,
        name="get_session",
        tag=_TAG,
        summary="Who has signed in, or holds the token",
        handler=read,
        role="viewer",
        answers={200: Session},
    ),
    Route(
        method="DELETE",
        path=_PATH,
        name="delete_session",
        tag=_TAG,
        summary="Sign out",
        handler=delete,
        role=None,
        answers={204: None},
        problems=(403, 503),
    ),
)
