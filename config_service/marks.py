"""Noting in PostgreSQL what is published, so that the reconciler knows what is behind."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from mqtt_shared.logs import get_logger

from .core.errors import UnavailableError
from .core.publication import Sealed
from .store import MovedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from .background import Background
    from .store import Store

__all__ = ["Marks"]

log = get_logger(__name__)

_TOGETHER_SECONDS = 0.02


class Marks:
    """Notes a moment later: many share a commit, and it is in no change's way.

    A mark that is lost, at the end or without PostgreSQL, costs the reconciler a look at the key.
    """

    def __init__(self, store: Store, background: Background, *, on_marked: Callable[[int], None]) -> None:
        self._store = store
        self._background = background
        self._on_marked = on_marked
        self._waiting = dict[int, Sealed]()
        self._is_running = False

    def note(self, sealed: Sealed) -> None:
        """`sealed` is in the bucket."""
        other = self._waiting.get(sealed.product_id)
        if other is None or other.revision <= sealed.revision:
            self._waiting[sealed.product_id] = sealed
        if not self._is_running:
            self._is_running = True
            self._background.start("mark-published", self._run())

    async def _run(self) -> None:
        try:
            while self._waiting:
                await asyncio.sleep(_TOGETHER_SECONDS)
                published, self._waiting = list(self._waiting.values()), {}
                await self._mark(published)
        except (UnavailableError, MovedError) as error:
            log.debug("not marked as published", error=str(error))
        finally:
            self._is_running = False

    async def _mark(self, published: list[Sealed]) -> None:
        await self._store.value(
            "mark_published",
            [sealed.product_id for sealed in published],
            [sealed.revision for sealed in published],
            [sealed.key_id for sealed in published],
            [sealed.previous_key_id for sealed in published],
        )
        for sealed in published:
            self._on_marked(sealed.product_id)
