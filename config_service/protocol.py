"""What aiohttp answers by itself, before the application sees a request: as problems, without a word of it.

aiohttp would log what it cannot parse, and send it back: a header may hold a token. That it is told otherwise
depends on private names of aiohttp; they are all in this module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import HttpVersion11, hdrs, web
from aiohttp.http_exceptions import LineTooLong

from mqtt_shared.logs import get_logger

from . import problem

if TYPE_CHECKING:
    from aiohttp.web_request import BaseRequest

__all__ = ["Runner", "expect"]

log = get_logger("config_service")

_BAD_REQUEST = 400
_MALFORMED = "This is not HTTP: the request line, a header or the framing of the body is malformed"
_TOO_LONG = "The request line or a header is longer than 8190 bytes"


class Protocol(web.RequestHandler):
    """One connection."""

    def handle_error(
        self,
        request: BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to what could not be parsed."""
        if status != _BAD_REQUEST:
            return super().handle_error(request, status, exc, message)
        log.info("malformed request", error=type(exc).__name__)
        if request.writer.output_size > 0:
            raise ConnectionError("an answer is on its way already")
        detail = _TOO_LONG if isinstance(exc, LineTooLong) else _MALFORMED
        response = problem.answer(status, "bad-request", detail)
        response.force_close()
        return response


class _Server(web.Server):
    def __call__(self) -> Protocol:
        return Protocol(self, loop=self._loop, **self._kwargs)


class Runner(web.AppRunner):
    """Serves an application with `Protocol`."""

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return _Server(
            made.request_handler,
            request_factory=made.request_factory,
            handler_cancellation=made.handler_cancellation,
            **made._kwargs,  # pyright: ignore[reportPrivateUsage] - what the runner was given
        )


async def expect(request: web.Request) -> web.Response | None:
    """Answer the header `Expect` (RFC 9110, 10.1.1)."""
    if request.version != HttpVersion11:
        return None
    if request.headers[hdrs.EXPECT].lower() != "100-continue":
        return problem.answer(417, "expectation-failed", "Nothing but 100-continue can be expected")
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    # The answer itself has not begun.
    request.writer.output_size = 0
    return None
