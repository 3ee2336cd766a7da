"""Sending HTTP requests. The only module of the library that touches aiohttp."""

from __future__ import annotations

from importlib import metadata
from typing import TYPE_CHECKING

import aiohttp

from .errors import ActionError, PermanentActionError

if TYPE_CHECKING:
    from mqtt_shared.outgoing import HttpRequest

__all__ = ["Webhooks"]

_MOST_CONNECTIONS = 100
_MOST_OF_AN_ANSWER = 64 * 1024
_MOST_SHOWN = 200
# Too early, too many, time-out, conflict with a request in progress: the same request may do later.
_TRY_AGAIN = (408, 409, 423, 425, 429)


class Webhooks:
    """A pool of connections. Certificates are verified, redirects are not followed."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def send(self, request: HttpRequest) -> None:
        """Send; any status of 200 to 299 is success. The time is bounded by the caller.

        Raises:
            PermanentActionError: refused for good: a redirect, or a status of 400 to 499.
            ActionError: another status, or no answer.
        """
        try:
            async with self._pool().request(
                request.method,
                request.url,
                headers=request.headers,
                data=request.body.encode() or None,
                # A header with a secret must not follow to where somebody else decides.
                allow_redirects=False,
            ) as answer:
                # Read, so that the connection can be used again; more than that is not worth it.
                body = await answer.content.read(_MOST_OF_AN_ANSWER)
                if not answer.content.at_eof():
                    answer.close()
                _check(answer.status, answer.reason or "", body)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise ActionError(f"no answer: {error or type(error).__name__}") from error

    def _pool(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=_MOST_CONNECTIONS),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": f"mqtt-control-plane/{metadata.version('mqtt-control-plane')}"},
                timeout=aiohttp.ClientTimeout(total=None),
            )
        return self._session

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()


def _check(status: int, reason: str, body: bytes) -> None:
    if 200 <= status < 300:
        return
    said = body[:_MOST_SHOWN].decode(errors="replace").strip()
    words = f"answered {status} {reason}".rstrip() + (f": {said}" if said else "")
    if 300 <= status < 400:
        raise PermanentActionError(f"{words} (redirects are not followed: configure the final URL)")
    if 400 <= status < 500 and status not in _TRY_AGAIN:
        raise PermanentActionError(words)
    raise ActionError(words)
