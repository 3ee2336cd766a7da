"""Errors as `application/problem+json` (RFC 9457)."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web
from msgspec import UNSET, Struct, UnsetType

from .core.errors import (
    Fault,
    InvalidInputError,
    KeyInUseError,
    NameTakenError,
    NotConfiguredError,
    NotFoundError,
    RevisionMismatchError,
    SecretInUseError,
    ServiceError,
    SnapshotTooLargeError,
    UnavailableError,
)
from .core.validation import MalformedJsonError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "CONTENT_TYPE",
    "BusyError",
    "ForbiddenError",
    "Problem",
    "UnauthorizedError",
    "answer",
    "of",
    "unexpected",
]

CONTENT_TYPE = "application/problem+json"
_TYPE = "urn:problem-type:"
_encode = msgspec.json.Encoder().encode


class UnauthorizedError(ServiceError):
    """No bearer token, or one that is unknown or has expired (401)."""

    def __init__(self, message: str, *, given: bool) -> None:
        super().__init__(message)
        self.given = given


class ForbiddenError(ServiceError):
    """The token's role or products do not allow this (403)."""


class BusyError(ServiceError):
    """Too many of the same are running (503)."""


class Problem(Struct, frozen=True, kw_only=True):
    """The body of every answer that is an error (RFC 9457)."""

    type: str
    """Stable; what a client may decide by."""
    title: str
    status: int
    detail: str
    errors: list[Fault] | UnsetType = UNSET
    """Bad input: all faults at once."""
    current_revision: int | UnsetType = UNSET
    """After a failed `If-Match`."""
    request_id: str | UnsetType = UNSET
    """A defect: the log has the rest under this id."""


_KINDS: dict[type[Exception], tuple[int, str]] = {
    InvalidInputError: (422, "invalid-input"),
    MalformedJsonError: (400, "malformed-json"),
    UnauthorizedError: (401, "unauthorized"),
    ForbiddenError: (403, "forbidden"),
    NotFoundError: (404, "not-found"),
    NameTakenError: (409, "name-taken"),
    KeyInUseError: (409, "key-in-use"),
    SecretInUseError: (409, "secret-in-use"),
    NotConfiguredError: (409, "not-configured"),
    RevisionMismatchError: (412, "revision-mismatch"),
    SnapshotTooLargeError: (422, "snapshot-too-large"),
    UnavailableError: (503, "unavailable"),
    BusyError: (503, "busy"),
}


def of(error: Exception) -> web.Response | None:
    """The answer for an error that is the client's or a server's that is away; None: it is a defect."""
    if isinstance(error, web.HTTPException):
        return _of_aiohttp(error)
    for kind, (status, slug) in _KINDS.items():
        if isinstance(error, kind):
            return answer(status, slug, _detail(error), _headers(error), **_more(error))
    return None


def _detail(error: Exception) -> str:
    if isinstance(error, InvalidInputError):
        count = len(error.faults)
        return "One value is wrong" if count == 1 else f"{count} values are wrong"
    return str(error)


def _headers(error: Exception) -> dict[str, str]:
    if isinstance(error, UnavailableError):
        return {"Retry-After": str(error.retry_after_seconds)}
    if isinstance(error, BusyError):
        return {"Retry-After": "2"}
    if isinstance(error, UnauthorizedError):
        # RFC 6750, 3.
        return {
            "WWW-Authenticate": 'Bearer realm="config-service"' + (', error="invalid_token"' * error.given)
        }
    return {}


def _more(error: Exception) -> dict[str, Any]:
    if isinstance(error, InvalidInputError):
        return {"errors": error.faults}
    if isinstance(error, RevisionMismatchError):
        return {"current_revision": error.current}
    return {}


_OF_AIOHTTP = {
    404: ("not-found", "Nothing is served at this path: /docs lists every endpoint"),
    405: ("method-not-allowed", "This path has other methods: Allow lists them"),
    413: ("too-large", "The body must not be larger than 1 MB"),
    415: ("unsupported-media-type", "The body must be JSON: send it with Content-Type: application/json"),
}


def _of_aiohttp(error: web.HTTPException) -> web.Response | None:
    if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR or error.status < HTTPStatus.BAD_REQUEST:
        return None
    slug, detail = _OF_AIOHTTP.get(error.status, ("bad-request", error.reason))
    headers = {name: error.headers[name] for name in ("Allow", "Accept") if name in error.headers}
    return answer(error.status, slug, detail, headers)


def unexpected(request_id: str) -> web.Response:
    """The answer for a defect: nothing but an id."""
    return answer(
        500, "defect", f"A defect; the log of the service has more under {request_id}", request_id=request_id
    )


def answer(
    status: int, slug: str, detail: str, headers: Mapping[str, str] | None = None, **more: Any
) -> web.Response:
    """A problem; `more` are further fields of `Problem`."""
    problem = Problem(
        type=_TYPE + slug, title=HTTPStatus(status).phrase, status=status, detail=detail, **more
    )
    return web.Response(body=_encode(problem), status=status, content_type=CONTENT_TYPE, headers=headers)
