"""What was heard and not flushed yet.

One value per boot, so that a long outage of the database needs no more room than a short one.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools

from msgspec import Struct, field

from .core.fold import fold, join
from .core.model import BootKey, Heard

__all__ = ["Batch", "Buffer"]


class Batch(Struct):
    """Values, and the reply subject that acknowledges each once it is committed.

    Only the newest message of a boot is acknowledged: the stream keeps no older one.
    """

    heard: dict[BootKey, Heard] = field(default_factory=dict[BootKey, Heard])
    acknowledge: dict[BootKey, str] = field(default_factory=dict[BootKey, str])
    folded: int = 0
    """How many heartbeats were joined with another of the same boot since the last flush."""


class Buffer:
    """Has room for `capacity` boots; a flush takes `size`, and is due at once when so many wait."""

    def __init__(self, size: int, capacity: int) -> None:
        self._size = size
        self._capacity = capacity
        self._batch = Batch()
        self._taken = 0
        self._full = asyncio.Event()

    def __len__(self) -> int:
        return len(self._batch.heard)

    @property
    def room(self) -> int:
        """How many more boots it may be given, beside those that a flush has taken."""
        return self._capacity - len(self._batch.heard) - self._taken

    def put(self, heard: Heard, acknowledge: str) -> None:
        """Add one."""
        batch, key = self._batch, heard.key
        known = batch.heard.get(key)
        if known is None:
            batch.heard[key] = heard
        else:
            batch.heard[key] = join(known, heard)
            batch.folded += 1
        batch.acknowledge[key] = acknowledge
        if len(batch.heard) >= self._size:
            self._full.set()

    def take(self) -> Batch:
        """At most `size` boots, those that wait longest. Then either `put_back` or `done`."""
        waiting = self._batch
        keys = list(itertools.islice(waiting.heard, self._size))
        taken = Batch(
            {key: waiting.heard.pop(key) for key in keys},
            {key: waiting.acknowledge.pop(key) for key in keys},
            waiting.folded,
        )
        waiting.folded = 0
        self._taken = len(keys)
        if len(waiting.heard) < self._size:
            self._full.clear()
        return taken

    def put_back(self, batch: Batch) -> None:
        """The flush failed: the batch waits together with what came since."""
        newer = self._batch
        heard = fold([*batch.heard.values(), *newer.heard.values()])
        folded = batch.folded + newer.folded + len(batch.heard) + len(newer.heard) - len(heard)
        self._batch = Batch(heard, batch.acknowledge | newer.acknowledge, folded)
        self._taken = 0
        if len(heard) >= self._size:
            self._full.set()

    def done(self) -> None:
        """The flush succeeded."""
        self._taken = 0

    async def due(self, seconds: float) -> None:
        """Wait until a flush is due: after `seconds`, or when enough wait."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._full.wait(), seconds)
