"""Background tasks, named and watched: one that ends by itself is a defect that somebody must hear of."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from mqtt_shared import tasks
from mqtt_shared.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Coroutine

__all__ = ["Background"]

log = get_logger(__name__)


class Background:
    """Keeps tasks until `close`. `died` gets the error of the first one that fails."""

    def __init__(self) -> None:
        self.died: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._tasks = set[asyncio.Task[None]]()
        self._closed = False

    def start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Run `work`, which may end or go on for ever. Nothing starts any more after `close`."""
        if self._closed:
            work.close()
            return
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        log.error("a background task died", task=task.get_name(), exc_info=error)
        if not self.died.done():
            self.died.set_exception(error)
            # Whoever opened the backend may be closing it already and look no more.
            self.died.exception()

    async def close(self) -> None:
        """Cancel what still runs and wait until it has ended."""
        self._closed = True
        await tasks.end(list(self._tasks))
