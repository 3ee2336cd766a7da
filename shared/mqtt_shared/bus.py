"""The connection to NATS, with the settings that make it survive what happens to servers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import nats
from nats.errors import Error as NatsError

from .logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from nats.aio.client import Client

__all__ = ["NatsError", "connect"]

log = get_logger(__name__)

_RETRY_SECONDS = 0.5
_AWAY = "NATS is away; trying again until it is there"


async def connect(
    url: str,
    name: str,
    *,
    on_reconnected: Callable[[], Awaitable[None]] | None = None,
    on_disconnected: Callable[[], Awaitable[None]] | None = None,
) -> Client:
    """Connect, waiting for a server that is not there yet, and stay connected for ever.

    nats-py by itself gives up for good after 60 tries and notices a frozen server after 4 minutes.
    """
    waiting = False
    while True:
        try:
            return await _connect(url, name, on_reconnected, on_disconnected)
        except (OSError, NatsError) as error:
            if not waiting:
                log.warning(_AWAY, url=url, error=str(error) or repr(error))
            waiting = True
            await asyncio.sleep(_RETRY_SECONDS)


async def _connect(
    url: str,
    name: str,
    on_reconnected: Callable[[], Awaitable[None]] | None,
    on_disconnected: Callable[[], Awaitable[None]] | None,
) -> Client:
    async def reconnected() -> None:
        log.info("NATS is back")
        if on_reconnected:
            await on_reconnected()

    client: Client | None = None
    told = False

    async def disconnected() -> None:
        if client is not None and client.is_closed:
            # Our own doing.
            return
        log.warning("NATS is away; reconnecting")
        if on_disconnected:
            await on_disconnected()

    async def error(reason: Exception) -> None:
        nonlocal told
        if client is None and not told:
            told = True
            log.warning(_AWAY, url=url, error=str(reason) or repr(reason))
        else:
            log.debug("NATS error", error=str(reason) or repr(reason))

    connect_to = cast("Callable[..., Awaitable[Client]]", nats.connect)  # pyright: ignore[reportUnknownMemberType] - untyped options
    client = await connect_to(
        [server.strip() for server in url.split(",")],
        name=name,
        max_reconnect_attempts=-1,
        reconnect_time_wait=0.25,
        ping_interval=5,
        max_outstanding_pings=2,
        connect_timeout=2,
        allow_reconnect=True,
        reconnected_cb=reconnected,
        disconnected_cb=disconnected,
        error_cb=error,
    )
    return client
