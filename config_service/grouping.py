"""Work that is done for many at the price of one: group commit.

Nobody waits for company. What comes while nothing runs is done at once; what comes meanwhile is done
together, by the next run.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

__all__ = ["Grouping"]

T = TypeVar("T")
R = TypeVar("R")

_MOST = 64


class Grouping(Generic[T, R]):
    """Calls `work` with groups of items, in order, `at_once` of them at the same time.

    work: one result for each item, in their order; one that is an exception is raised for whoever waits for
    it. What `work` itself raises, everyone of its group gets.
    """

    def __init__(
        self, name: str, work: Callable[[list[T]], Awaitable[Sequence[R | Exception]]], *, at_once: int
    ) -> None:
        self._name = name
        self._work = work
        self._at_once = at_once
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []
        self._running = set[asyncio.Task[None]]()

    def __call__(self, item: T) -> asyncio.Future[R]:
        """The result of `item`, to be awaited. Whoever gives up waiting does not stop the work."""
        result: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, result))
        if len(self._running) < self._at_once:
            task = asyncio.create_task(self._run(), name=self._name)
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        return result

    async def _run(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting[:_MOST], self._waiting[_MOST:]
            try:
                results = await self._work([item for item, _ in group])
            except Exception as error:
                for _, waiter in group:
                    _settle(waiter, error)
            except BaseException:
                for _, waiter in group:
                    waiter.cancel()
                raise
            else:
                for (_, waiter), result in zip(group, results, strict=True):
                    _settle(waiter, result)


def _settle(waiter: asyncio.Future[R], result: R | Exception) -> None:
    if waiter.done():
        return
    if isinstance(result, Exception):
        waiter.set_exception(result)
    else:
        waiter.set_result(result)
