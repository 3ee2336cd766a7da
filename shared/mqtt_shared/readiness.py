"""What of that which a service needs is down: since when, why, and what to do about it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Generic, TypeVar

from msgspec import Struct

from . import tasks

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Dependency", "Down", "Probe", "Readiness"]

T = TypeVar("T")

_LOOK_SECONDS = 1.0


class Down(Struct, frozen=True, kw_only=True):
    """A dependency that cannot be used."""

    since: datetime
    """When that was noticed first."""
    reason: str
    remedy: str
    """What it means, and what to do."""


class Dependency(Struct, frozen=True):
    """A server that a service needs."""

    fault: Callable[[], Awaitable[str | None]]
    """Why it cannot be used now; null when it can. Bounded in time."""
    remedy: str


class Probe(Generic[T]):
    """Asks a server one thing at a time. An answer takes `seconds` at most, also from a frozen server."""

    def __init__(self, ask: Callable[[], Awaitable[T]], seconds: float = 2.0) -> None:
        self._ask = ask
        self._seconds = seconds
        self._asked: asyncio.Task[T] | None = None
        self._asked_at = 0.0

    async def answer(self) -> T:
        """The answer to a question that may have been under way already.

        Raises:
            TimeoutError: none in time. A question that has been out for longer than that fails at once.
            Exception: whatever the question raises.
        """
        now = asyncio.get_running_loop().time()
        asked = self._asked
        if asked is None or asked.done():
            asked = self._asked = asyncio.create_task(self._asking(), name="probe")
            asked.add_done_callback(_looked_at)
            self._asked_at = now
        # Not cancelled when its time is up: a driver may wait for a frozen server even then.
        await asyncio.wait([asked], timeout=max(self._asked_at + self._seconds - now, 0))
        if not asked.done():
            raise TimeoutError(f"no answer for {self._seconds:g} s")
        return asked.result()

    async def fault(self, told: Callable[[Exception], str] = str) -> str | None:
        """Why there is no answer, in the words of `told`; null when there is one."""
        try:
            await self.answer()
        except Exception as error:
            return told(error) or type(error).__name__
        return None

    async def _asking(self) -> T:
        return await self._ask()

    async def close(self) -> None:
        """Ask no more."""
        if self._asked is not None:
            await asyncio.wait([self._asked], timeout=0.1)
            await tasks.end([self._asked])


def _looked_at(asked: asyncio.Task[T]) -> None:
    """Nobody may be waiting any more when it fails; that is no defect."""
    if not asked.cancelled():
        asked.exception()


class Readiness:
    """Looks at every dependency when asked, and once a second by itself, so that `since` is right."""

    def __init__(self, dependencies: Mapping[str, Dependency]) -> None:
        self._dependencies = dict(dependencies)
        self._since = dict[str, datetime]()

    @property
    def names(self) -> Iterable[str]:
        """Of all dependencies."""
        return self._dependencies

    async def down(self) -> dict[str, Down]:
        """What is down, by name; empty when all is well."""
        faults = await asyncio.gather(*(each.fault() for each in self._dependencies.values()))
        found = {name: fault for name, fault in zip(self._dependencies, faults, strict=True) if fault}
        now = datetime.now(UTC)
        self._since = {name: self._since.get(name, now) for name in found}
        return {
            name: Down(since=self._since[name], reason=fault, remedy=self._dependencies[name].remedy)
            for name, fault in found.items()
        }

    async def run(self) -> None:
        """Look for ever."""
        while True:
            await self.down()
            await asyncio.sleep(_LOOK_SECONDS)
