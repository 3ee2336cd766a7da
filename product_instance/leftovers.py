"""Which filters may stand in the sessions that the broker keeps for this instance."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Leftovers"]


class _Disk(Protocol):
    def load_filters(self) -> dict[str, list[str]]: ...
    def store_filters(self, filters: Mapping[str, list[str]]) -> bool: ...


class Leftovers:
    """Filters by session, on disk before they are subscribed and until they are unsubscribed.

    A session outlives the process. What a run had subscribed when it was killed is unsubscribed by the next
    one if its configuration does not have it, whatever happened to the configuration in between.
    """

    def __init__(self, disk: _Disk) -> None:
        self._disk = disk
        self._filters = {session: frozenset(found) for session, found in disk.load_filters().items()}
        self._version = self._written = 0
        self._writing = threading.Lock()

    def of(self, session: str) -> frozenset[str]:
        """What may stand in this session."""
        return self._filters.get(session, frozenset())

    async def note(self, session: str, filters: Iterable[str]) -> None:
        """From now on these may stand in it; on disk when this returns."""
        found = frozenset(filters)
        if found == self.of(session):
            return
        if found:
            self._filters[session] = found
        else:
            del self._filters[session]
        self._version += 1
        # In a thread: a disk that hangs must not hold up messages.
        await asyncio.to_thread(
            self._write, self._version, {name: sorted(each) for name, each in self._filters.items()}
        )

    def _write(self, version: int, filters: Mapping[str, list[str]]) -> None:
        with self._writing:
            # Whoever waited was cancelled perhaps, and a later version is there already.
            if version > self._written:
                self._written = version
                self._disk.store_filters(filters)
