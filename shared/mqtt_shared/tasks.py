"""Ending background tasks."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["end"]

# Long enough for what a task does in its `finally`.
_PATIENCE_SECONDS = 0.5


async def end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel the tasks and wait until all have ended; their errors stay with them.

    They are cancelled again and again, because nats-py takes the cancellation of a request for its time-out:
    the task goes on, and a single `cancel` would be waited for without an end.
    """
    left = {task for task in tasks if not task.done()}
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=_PATIENCE_SECONDS)
