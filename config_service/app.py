"""The composition root: everything is built here, in one line, and closed in reverse."""

from __future__ import annotations

import asyncio
import functools
import re
import secrets
import signal
from time import perf_counter
from typing import TYPE_CHECKING

import msgspec
import structlog
from aiohttp import hdrs, web

from mqtt_shared.logs import get_logger
from mqtt_shared.readiness import Probe

from . import accesslog, dashboard, problem
from .auth import Authenticator
from .backend import BackendSettings, open_backend
from .core.validation import MAX_BYTES
from .metrics import Figures, Metrics
from .openapi import document
from .protocol import Runner, expect
from .routes import ROUTES
from .routing import ACTOR, SERVICE, Route, Service, bind
from .settings import ServeSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp.typedefs import Handler

    from .settings import StoreSettings

__all__ = ["DIED", "backend_settings", "create_app", "openapi_json", "serve"]

log = get_logger("config_service")

DIED = web.AppKey("died", asyncio.Future[None])
"""Done with the error when something without which the service is half dead has ended."""

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_STREAMS = frozenset(route.path for route in ROUTES if route.events)
_OK = 200
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))


def create_app(settings: ServeSettings) -> web.Application:
    """The application. It serves at once; whatever needs the database answers 503 until that is there."""
    service = Service(settings, Authenticator(settings.admin_token.get_secret_value()), Metrics())
    service.openapi = openapi_json()
    service.log_request = accesslog.writer(settings)
    # One byte more: a body of exactly the most bytes is still read.
    app = web.Application(middlewares=[_boundary], client_max_size=MAX_BYTES + 1)
    app[SERVICE] = service
    app.cleanup_ctx.append(_backend)
    app.on_shutdown.append(_end_streams)
    _add_routes(app, service)
    return app


def _add_routes(app: web.Application, service: Service) -> None:
    paths = dict[str, list[Route]]()
    for route in ROUTES:
        paths.setdefault(route.path, []).append(route)
    for path, routes in paths.items():
        resource = app.router.add_resource(path)
        methods = list[str]()
        for route in routes:
            handler = bind(route, service)
            for method in _served(route):
                resource.add_route(method, handler, expect_handler=expect)
                methods.append(method)
        # Refused here: else a path of words is looked for among those with an id in this place.
        resource.add_route(hdrs.METH_ANY, functools.partial(_refuse, methods))


def _served(route: Route) -> tuple[str, ...]:
    """What can be read can be asked for its headers alone (RFC 9110, 9.3.2); a stream would never end."""
    if route.method == hdrs.METH_GET and not route.events:
        return hdrs.METH_GET, hdrs.METH_HEAD
    return (route.method,)


async def _refuse(allowed: list[str], request: web.Request) -> web.StreamResponse:
    raise web.HTTPMethodNotAllowed(request.method, allowed)


@functools.cache
def openapi_json() -> bytes:
    """The OpenAPI document."""
    return msgspec.json.format(msgspec.json.encode(document(ROUTES)), indent=2) + b"\n"


async def _end_streams(app: web.Application) -> None:
    app[SERVICE].feed.close()


async def _backend(app: web.Application) -> AsyncIterator[None]:
    app[DIED] = died = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(_run_backend(app[SERVICE]), name="backend")
    task.add_done_callback(functools.partial(_note_death, died))
    yield
    task.cancel()
    await asyncio.wait([task])
    died.cancel()


async def _run_backend(service: Service) -> None:
    async with open_backend(backend_settings(service.settings), service.feed) as backend:
        figures = Probe(lambda: backend.store.one("figures", Figures))
        service.usecases, service.link = backend.usecases, backend.link
        service.readiness, service.figures = backend.readiness, figures.answer
        log.info("ready")
        try:
            await backend.died
        finally:
            service.usecases = service.link = service.readiness = service.figures = None
            await figures.close()


def backend_settings(settings: StoreSettings) -> BackendSettings:
    """The part of the settings that the backend needs."""
    sizes = {}
    if isinstance(settings, ServeSettings):
        sizes = {"pool_size": settings.database_pool_size, "bucket_replicas": settings.nats_replicas}
    return BackendSettings(
        database_url=settings.database_url,
        nats_url=settings.nats_url,
        keys=settings.keys,
        subjects=settings.subjects,
        **sizes,
    )


def _note_death(died: asyncio.Future[None], task: asyncio.Task[None]) -> None:
    if not task.cancelled() and not died.done():
        died.set_exception(task.exception() or RuntimeError("the backend has ended by itself"))
        # Asked for here: without a process that waits for it, it would be told as never retrieved.
        died.exception()


@web.middleware
async def _boundary(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every error becomes a problem, every request one log line and one measurement."""
    started = perf_counter()
    request_id = _request_id(request)
    structlog.contextvars.bind_contextvars(request_id=request_id)
    response = await _answered(request, handler, request_id)
    headers = response.headers
    headers["X-Request-ID"] = request_id
    headers["X-Content-Type-Options"] = "nosniff"
    headers.setdefault("Cache-Control", "no-store")
    _record(request, request_id, response.status, perf_counter() - started)
    return response


async def _answered(request: web.Request, handler: Handler, request_id: str) -> web.StreamResponse:
    try:
        return await handler(request)
    except Exception as error:
        if isinstance(error, ConnectionError | web.RequestPayloadError):
            # The client went away in the middle of its body, or it is not in its Content-Encoding.
            return problem.answer(400, "bad-request", "The body ended early, or is not encoded as it says")
        if isinstance(error, web.HTTPNotFound) and (found := dashboard.answer(request)):
            return found
        response = problem.of(error)
        if response is None:
            log.exception("defect")
            response = problem.unexpected(request_id)
        return response


def _request_id(request: web.Request) -> str:
    given = request.headers.get("X-Request-ID")
    return given if given and _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)


def _record(request: web.Request, request_id: str, status: int, seconds: float) -> None:
    resource = request.match_info.route.resource
    route = resource.canonical if resource else "unmatched"
    method = request.method if request.method in _METHODS else "other"
    service = request.config_dict[SERVICE]
    # A stream that was opened ends when its client leaves: that is no duration of an answer.
    timed = seconds if route not in _STREAMS or status != _OK else None
    service.metrics.request(route, method, status, timed)
    if service.log_request:
        entry = accesslog.Entry(
            method=method,
            route=route,
            status=status,
            duration_ms=round(seconds * 1000, 3),
            actor=request.get(ACTOR),
            request_id=request_id,
            timestamp=accesslog.now(),
        )
        service.log_request(entry)


async def serve(settings: ServeSettings) -> None:
    """Serve until SIGTERM or SIGINT: stop accepting, let running requests end, close everything.

    Raises:
        OSError: the address cannot be listened on.
        Exception: what ended the backend, such as a database that is newer than this code.
    """
    app = create_app(settings)
    runner = Runner(
        app, access_log=None, handler_cancellation=False, shutdown_timeout=settings.shutdown_timeout_seconds
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, settings.http_host, settings.http_port).start()
        host, port = runner.addresses[0][:2]
        log.info("listening", url=f"http://{f'[{host}]' if ':' in host else host}:{port}")
        await _until_stopped(app[DIED])
    finally:
        await runner.cleanup()
        log.info("stopped")


async def _until_stopped(died: asyncio.Future[None]) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    stopped = asyncio.create_task(stop.wait(), name="stop")
    await asyncio.wait([stopped, died], return_when=asyncio.FIRST_COMPLETED)
    if stopped.done():
        log.info("stopping")
        return
    stopped.cancel()
    await died
