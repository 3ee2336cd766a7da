"""One table of routes: what is served, who may call it, and what the OpenAPI document says about it."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec
from aiohttp import hdrs, web
from msgspec import Struct

from mqtt_shared.messages import Timestamp, utc
from mqtt_shared.readiness import Down

from .auth import COOKIE, check_origin, check_product, check_role
from .backend import POSTGRESQL
from .core import validation
from .core.errors import Fault, InvalidInputError, NotFoundError, UnavailableError
from .core.model import Role, Write
from .feed import Feed
from .preconditions import Preconditions, wait_seconds

if TYPE_CHECKING:
    from mqtt_shared.readiness import Readiness

    from .accesslog import Entry
    from .auth import Authenticator
    from .core.model import Principal
    from .metrics import Figures, Metrics
    from .publisher import Link
    from .settings import ServeSettings
    from .usecases import Usecases

__all__ = [
    "ACTOR",
    "CURSOR",
    "DRY_RUN",
    "LIMIT",
    "LIVE",
    "NAME",
    "SERVICE",
    "Call",
    "Handler",
    "Query",
    "Route",
    "Service",
    "authenticate",
    "bind",
]

_MAX_ID = 2**31 - 1
_MAX_REVISION = 2**63 - 1
_INTEGER = re.compile(r"-?[0-9]+", re.ASCII)
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}", re.ASCII)
"""Of what the path has by name."""
_LONGEST_INTEGER = 20
_SAFE = frozenset((hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_OPTIONS))


class Query(Struct, frozen=True, kw_only=True):
    """One query parameter. `least` and `most` bound an integer, or the length of a string."""

    name: str
    kind: Literal["boolean", "integer", "string", "date-time"]
    description: str
    default: bool | int | str | None = None
    required: bool = False
    least: int = 0
    most: int = 0


LIVE = Query(
    name="live", kind="boolean", default=True, description="false leaves status and stats out and allows 304."
)
DRY_RUN = Query(
    name="dry_run", kind="boolean", default=False, description="Validate and tell the effect; write nothing."
)
LIMIT = Query(
    name="limit", kind="integer", default=100, least=1, most=200, description="Most elements of the page."
)
CURSOR = Query(
    name="cursor", kind="string", least=1, most=200, description="`next_cursor` of the page before."
)


class Service:
    """What every handler can reach. `usecases` is None until the database is there."""

    def __init__(self, settings: ServeSettings, authenticator: Authenticator, metrics: Metrics) -> None:
        self.settings = settings
        self.authenticator = authenticator
        self.metrics = metrics
        self.tests = asyncio.Semaphore(settings.test_concurrency)
        self.openapi = b""
        self.log_request: Callable[[Entry], None] | None = None
        self.readiness: Readiness | None = None
        self.figures: Callable[[], Awaitable[Figures | None]] | None = None
        self.feed = Feed(metrics.dropped_streams.inc)
        metrics.streams.set_function(lambda: self.feed.open)
        self.link: Link | None = None
        self._usecases: Usecases | None = None
        self._since = datetime.now(UTC)

    @property
    def usecases(self) -> Usecases:
        """Raises UnavailableError while the service waits for the database."""
        if self._usecases is None:
            raise UnavailableError("the database")
        return self._usecases

    @usecases.setter
    def usecases(self, usecases: Usecases | None) -> None:
        self._usecases = usecases

    @property
    def hears(self) -> bool:
        """Is NATS there, so that events come?"""
        return self.link is not None and self.link.is_up

    async def down(self) -> dict[str, Down]:
        """What is down, by name; empty when all is there. Takes 2 s at most."""
        if self.readiness is None:
            reason = "it has not been reached since the start"
            return {"postgresql": Down(since=self._since, reason=reason, remedy=POSTGRESQL)}
        return await self.readiness.down()

    async def measure(self) -> None:
        """Bring the gauges up to date. Takes 4 s at most."""
        down = await self.down()
        for dependency in ("postgresql", "nats"):
            self.metrics.up.labels(dependency).set(dependency not in down)
        figures = None
        if self.figures and "postgresql" not in down:
            with contextlib.suppress(UnavailableError, TimeoutError):
                figures = await self.figures()
        self.metrics.fleet(figures)


SERVICE = web.AppKey("service", Service)
ACTOR = web.RequestKey("actor", str)
"""Name of the token, for the log."""


class Call:
    """One request, checked: who asks, ids, query, body."""

    __slots__ = ("body", "ids", "name", "principal", "query", "request", "service")

    def __init__(self, request: web.Request, service: Service) -> None:
        self.request = request
        self.service = service
        self.principal: Principal | None = None
        self.ids = dict[str, int]()
        self.name = ""
        self.query = dict[str, Any]()
        self.body: Any = None

    @property
    def usecases(self) -> Usecases:
        """What the service does."""
        return self.service.usecases

    @property
    def product_id(self) -> int:
        """The product of the path."""
        return self.ids["product_id"]

    @property
    def actor(self) -> str:
        """Name of the token."""
        return self.principal.name if self.principal else ""

    @property
    def host(self) -> str:
        """The host that the client has asked, with its port."""
        forwarded = self.service.settings.trust_forwarded_headers
        return (forwarded and self.request.headers.get("X-Forwarded-Host")) or self.request.host

    @property
    def is_https(self) -> bool:
        """Has the client come by https?"""
        forwarded = self.service.settings.trust_forwarded_headers
        return (
            (forwarded and self.request.headers.get("X-Forwarded-Proto")) or self.request.scheme
        ) == "https"

    @property
    def page(self) -> tuple[int, str | None]:
        """`limit` and `cursor`."""
        return self.query["limit"], self.query["cursor"]

    @property
    def wait_seconds(self) -> int | None:
        """N of `Prefer: wait=N`."""
        return wait_seconds(self.request.headers.getall("Prefer", ()))

    @property
    def plain_write(self) -> Write:
        """How a write is to be done that no revision stands in the way of."""
        return Write(actor=self.actor, dry_run=bool(self.query.get("dry_run")))

    async def write(self) -> Write:
        """How the write is to be done, after `If-Match` and `If-None-Match` have been weighed."""
        return await Preconditions(self.request.headers).write(
            self.actor, dry_run=bool(self.query.get("dry_run")), current=self._current_revision
        )

    async def _current_revision(self) -> int | None:
        answer = await self.usecases.get_config(self.product_id, live=False)
        return answer.revision if answer.mqtt_config else None


Handler: TypeAlias = Callable[[Call], Awaitable[web.StreamResponse]]


class Route(Struct, frozen=True, kw_only=True):
    """One operation. `role` None: no token is needed. `answers`: the body's type, or its media type."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    name: str
    """The operationId."""
    tag: str
    summary: str
    handler: Handler
    role: Role | None
    answers: dict[int, Any]
    description: str = ""
    all_products: bool = False
    """A token that is limited to some products does not do."""
    query: tuple[Query, ...] = ()
    body: Any = None
    body_optional: bool = False
    example: Any = None
    """Of the body."""
    problems: tuple[int, ...] = ()
    """Statuses beside those that follow from the rest."""
    etag: bool = False
    if_none_match: bool = False
    if_match: bool = False
    prefer: bool = False
    events: dict[str, Any] = {}
    """Of a stream: the type of each event's data."""
    hidden: bool = False
    """A file of the documentation page: not in the OpenAPI document."""


def bind(route: Route, service: Service) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """The aiohttp handler of a route."""
    path_names = [name for name in re.findall(r"{(\w+)}", route.path) if name != "name"]

    async def handle(request: web.Request) -> web.StreamResponse:
        call = Call(request, service)
        if route.role is not None:
            await _authorize(call, route)
        call.ids = _ids(request, path_names)
        if call.principal and "product_id" in call.ids:
            check_product(call.principal, call.product_id)
        call.name = _name(request)
        faults = _read_query(call, route)
        if route.body is not None:
            await _read_body(call, route, faults)
        if faults:
            raise InvalidInputError(faults)
        return await route.handler(call)

    return handle


async def _authorize(call: Call, route: Route) -> None:
    assert route.role
    call.principal = await authenticate(call)
    call.request[ACTOR] = call.principal.name
    check_role(call.principal, route.role, all_products=route.all_products)


async def authenticate(call: Call) -> Principal:
    """Who asks. An `Authorization` header goes before a cookie: no other site can make a browser send it.

    Raises:
        UnauthorizedError: neither is there, or it is not valid.
        ForbiddenError: another site makes a browser change something.
    """
    request, authenticator = call.request, call.service.authenticator
    header, cookie = request.headers.get(hdrs.AUTHORIZATION), request.cookies.get(COOKIE)
    if header is not None or not cookie:
        return await authenticator.of_header(header or "", lambda token: call.usecases.authenticate(token))
    if request.method not in _SAFE:
        check_origin(request.headers, call.host, strict=True)
    return await authenticator.of_cookie(cookie, lambda digest: call.usecases.find_session(digest))


def _name(request: web.Request) -> str:
    name = request.match_info.get("name", "")
    if name and not NAME.fullmatch(name):
        msg = "must have 1 to 100 letters, digits and _, and not begin with a digit"
        raise InvalidInputError([Fault(loc=["path", "name"], msg=msg, type="pattern")])
    return name


def _ids(request: web.Request, names: list[str]) -> dict[str, int]:
    faults, ids = list[Fault](), dict[str, int]()
    for name in names:
        text = request.match_info[name]
        most = _MAX_REVISION if name == "revision" else _MAX_ID
        if not _INTEGER.fullmatch(text):
            faults.append(Fault(loc=["path", name], msg="must be an integer", type="wrong_type"))
        elif len(text) > _LONGEST_INTEGER or not 1 <= int(text) <= most:
            raise NotFoundError(f"there is no {name.removesuffix('_id')} {text[:_LONGEST_INTEGER]}")
        else:
            ids[name] = int(text)
    if faults:
        raise InvalidInputError(faults)
    return ids


def _read_query(call: Call, route: Route) -> list[Fault]:
    given = call.request.query
    if route.hidden or (not given and not route.query):
        # A page may say in its address what it shows.
        return []
    known = {query.name: query for query in route.query}
    faults = [_unknown(name, known) for name in dict.fromkeys(given) if name not in known]
    for query in route.query:
        values = given.getall(query.name, ())
        try:
            call.query[query.name] = _value(query, values)
        except ValueError as error:
            faults.append(Fault(loc=["query", query.name], msg=str(error), type="invalid_parameter"))
    return faults


def _unknown(name: str, known: dict[str, Query]) -> Fault:
    msg = f"is not a known parameter; known are: {', '.join(known) or 'none'}"
    return Fault(loc=["query", validation.shown(name)], msg=msg, type="unknown_parameter")


def _value(query: Query, values: list[str] | tuple[()]) -> bool | int | str | datetime | None:
    if not values:
        if query.required:
            raise ValueError("is required")
        return query.default
    if len(values) > 1:
        raise ValueError("must appear only once")
    return _READ[query.kind](query, values[0])


def _boolean(_: Query, text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError("must be true or false")
    return text == "true"


def _integer(query: Query, text: str) -> int:
    if _INTEGER.fullmatch(text) and len(text) <= _LONGEST_INTEGER and query.least <= int(text) <= query.most:
        return int(text)
    raise ValueError(f"must be an integer from {query.least} to {query.most}")


def _string(query: Query, text: str) -> str:
    if not query.least <= len(text) <= query.most or not text.isascii() or not text.isprintable():
        raise ValueError(f"must be {query.least} to {query.most} printable ASCII characters")
    return text


def _date_time(_: Query, text: str) -> datetime:
    try:
        return utc(msgspec.convert(text, Timestamp))
    except (msgspec.ValidationError, OverflowError):
        msg = "must be a time with its zone, as 2026-01-31T08:00:00Z; + is written %2B here"
        raise ValueError(msg) from None


_READ: dict[str, Callable[[Query, str], bool | int | str | datetime]] = {
    "boolean": _boolean,
    "integer": _integer,
    "string": _string,
    "date-time": _date_time,
}


async def _read_body(call: Call, route: Route, faults: list[Fault]) -> None:
    raw = await _raw_body(call.request)
    if not raw and route.body_optional:
        raw = b"{}"
    elif not _is_json(call.request.content_type):
        raise web.HTTPUnsupportedMediaType(headers={"Accept": "application/json"})
    try:
        call.body = validation.read(raw, route.body)
    except InvalidInputError as error:
        faults += error.faults


async def _raw_body(request: web.Request) -> bytes:
    too_large = (request.content_length or 0) > validation.MAX_BYTES
    # Without a length, aiohttp counts while it reads (client_max_size).
    raw = b"" if too_large else await request.read()
    if too_large or len(raw) > validation.MAX_BYTES:
        raise web.HTTPRequestEntityTooLarge(validation.MAX_BYTES, request.content_length or len(raw))
    return raw


def _is_json(content_type: str) -> bool:
    return content_type == "application/json" or (
        content_type.startswith("application/") and content_type.endswith("+json")
    )
