"""Waiting for something to become true, with a deadline."""

from __future__ import annotations

import asyncio
import inspect
import time
from typing import TYPE_CHECKING, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")


async def eventually(check: Callable[[], T | Awaitable[T]], timeout: float = 20, every: float = 0.01) -> T:
    """The first true value of `check()`, which may be async; a failed assertion in it means "not yet".

    Raises:
        AssertionError: nothing true within `timeout` seconds; tells the last value or assertion.
    """
    deadline = time.monotonic() + timeout
    while True:
        last: object
        try:
            value = check()
            last = found = cast("T", await value if inspect.isawaitable(value) else value)
            if found:
                return found
        except AssertionError as error:
            last = error
        if time.monotonic() > deadline:
            raise AssertionError(f"not true within {timeout:g} s; last: {last!r}")
        await asyncio.sleep(every)
