"""Running functions that block, so that one that never returns holds up nobody but its like."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Threads"]


class Threads:
    """A thread for each call, `limit` of them at most.

    A thread cannot be ended from outside: one that is stuck keeps its place until it returns, whatever the
    caller's patience. The threads are daemons, so that a stuck one does not keep the process from ending.
    """

    def __init__(self, name: str, limit: int = 32) -> None:
        self._name = name
        self._places = asyncio.Semaphore(limit)

    async def run(self, function: Callable[..., Any], *given: object) -> Any:
        """Call the function in a thread; waits for a place while all threads are busy."""
        await self._places.acquire()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        context = contextvars.copy_context()

        def finish(result: Any, error: BaseException | None) -> None:
            self._places.release()
            if answer.done():
                return
            if error is None:
                answer.set_result(result)
            else:
                answer.set_exception(error)

        def call() -> None:
            result, failure = None, None
            try:
                result = context.run(function, *given)
            except StopIteration as error:
                # A future cannot carry it.
                failure = RuntimeError(repr(error))
            except BaseException as error:
                failure = error
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(finish, result, failure)

        try:
            threading.Thread(target=call, name=self._name, daemon=True).start()
        except RuntimeError:
            self._places.release()
            raise
        return await answer
