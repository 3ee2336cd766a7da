"""What happens, as events for browsers: heard on NATS from whichever replica or collector, or done here."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from mqtt_shared import messages
from mqtt_shared.logs import get_logger

from .core.errors import UnavailableError
from .core.model import ConfigChanged
from .usecases.runtime import FEW, RolloutRows

if TYPE_CHECKING:
    from .feed import Feed
    from .store import Store

__all__ = ["Live", "Ping"]

log = get_logger(__name__)

_REST_SECONDS = 0.1
_AWAY_SECONDS = 1.0
# A look at a product takes at most this part of the time.
_REST_FACTOR = 10

_encode = msgspec.json.Encoder().encode


class Ping(Struct, frozen=True, kw_only=True):
    """The stream is alive. `nats` false: nothing is heard of instances until it is back."""

    at: datetime
    nats: bool


class Live:
    """Publishes to the feed. Costs nothing but a look at each message while nobody watches."""

    def __init__(self, store: Store, feed: Feed) -> None:
        self._store = store
        self._feed = feed
        self._dirty = set[int]()
        self._rests_until = dict[int, float]()
        self._wake = asyncio.Event()
        self._revisions = dict[int, int]()
        self._counts = dict[int, messages.InstanceCounts | None]()

    def status(self, product_id: int, payload: bytes) -> None:
        """The collector has told the status of a product."""
        if not self._feed.is_watched:
            return
        try:
            heard = messages.decode(payload, messages.StatusChanged)
        except messages.MalformedMessageError as error:
            log.warning("not a status message", product_id=product_id, error=str(error))
            return
        if heard.product_id != product_id:
            log.warning("a status message of another product", product_id=product_id)
            return
        self._feed.publish("status", product_id, messages.encode(heard))
        settled = any(each.kind in ("applied", "rejected") for each in heard.transitions)
        if settled or self._counts.get(product_id) != heard.status.instances:
            self._counts[product_id] = heard.status.instances
            self.changed(product_id)

    def product(self, product_id: int, payload: bytes) -> None:
        """A product was created, updated or deleted."""
        try:
            heard = messages.decode(payload, messages.ProductChanged)
        except messages.MalformedMessageError as error:
            log.warning("not a product message", product_id=product_id, error=str(error))
            return
        if heard.product_id == product_id:
            self._feed.publish("product", product_id, messages.encode(heard))

    def changed(self, product_id: int) -> None:
        """The configuration of a product, or how far its instances are, may have changed: look soon."""
        if self._feed.is_watched:
            self._dirty.add(product_id)
            self._wake.set()

    async def run(self) -> None:
        """Look at what may have changed, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            await self._pause()
            for product_id in [each for each in self._dirty if self._rests_until.get(each, 0) <= loop.time()]:
                self._dirty.discard(product_id)
                began = loop.time()
                try:
                    await self._look(product_id)
                    rest = max(_REST_SECONDS, _REST_FACTOR * (loop.time() - began))
                except UnavailableError:
                    self._dirty.add(product_id)
                    rest = _AWAY_SECONDS
                self._rests_until[product_id] = loop.time() + rest

    async def _pause(self) -> None:
        """Until a product is to be looked at."""
        while True:
            now = asyncio.get_running_loop().time()
            self._rests_until = {each: until for each, until in self._rests_until.items() if until > now}
            waits = [self._rests_until.get(each, now) - now for each in self._dirty]
            if waits and min(waits) <= 0:
                return
            self._wake.clear()
            try:
                async with asyncio.timeout(min(waits, default=None)):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _look(self, product_id: int) -> None:
        told = self._revisions.get(product_id, 0)
        for change in await self._store.one("recent_changes", list[ConfigChanged], product_id, told) or []:
            self._revisions[product_id] = change.revision
            self._feed.publish("config", product_id, _encode(change))
        rows = await self._store.one("get_rollout", RolloutRows, product_id, 0, 0, FEW)
        if rows is None:
            self._revisions.pop(product_id, None)
            self._counts.pop(product_id, None)
        else:
            self._feed.publish("rollout", product_id, _encode(rows.counts()))
