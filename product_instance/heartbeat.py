"""The periodic report of the instance."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from mqtt_shared.bus import NatsError
from mqtt_shared.logs import get_logger
from mqtt_shared.messages import encode

if TYPE_CHECKING:
    from collections.abc import Callable

    from mqtt_shared.messages import Heartbeat

    from .watcher import Bus

__all__ = ["Heartbeats"]

log = get_logger(__name__)

_LAST_SECONDS = 2
# What changes together is told together, and behind the change itself.
_TOGETHER_SECONDS = 0.01


class Heartbeats:
    """Sends a heartbeat every interval, at once on a change, and a last one at the end.

    None is sent while NATS is away, and none is lost by that: counters are cumulative.
    """

    def __init__(
        self, nats: Bus, subject: str, interval_seconds: float, make: Callable[[int, bool], Heartbeat]
    ) -> None:
        self._nats, self._subject = nats, subject
        self._interval_seconds = interval_seconds
        self._make = make
        self._seq = 0
        self._changed = asyncio.Event()
        nats.on_connected(self.changed)

    def changed(self) -> None:
        """Something that a heartbeat tells has changed: send one in a moment."""
        self._changed.set()

    async def run(self) -> None:
        """Send for ever."""
        while True:
            try:
                async with asyncio.timeout(self._interval_seconds):
                    await self._changed.wait()
                await asyncio.sleep(_TOGETHER_SECONDS)
            except TimeoutError:
                pass
            # Changes from here on are not in this heartbeat.
            self._changed.clear()
            await self._send(stopping=False)

    async def last(self) -> None:
        """Tell the final counters, and that this boot ends."""
        try:
            async with asyncio.timeout(_LAST_SECONDS):
                if await self._send(stopping=True) and self._nats.client:
                    await self._nats.client.flush()
        except (NatsError, OSError, TimeoutError):
            log.warning("the last heartbeat may not have arrived")

    async def _send(self, *, stopping: bool) -> bool:
        if (client := self._nats.client) is None:
            return False
        self._seq += 1
        try:
            await client.publish(self._subject, encode(self._make(self._seq, stopping)))
        except (NatsError, OSError) as error:
            log.debug("heartbeat not sent", error=str(error) or type(error).__name__)
            return False
        return True
