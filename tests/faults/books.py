"""What was published, what the actions saw of it, and what is missing."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

from tests.support.waiting import eventually

from .load import Sent
from .table import Row

if TYPE_CHECKING:
    from collections.abc import Mapping

    from product_instance import Event

    from .load import Load

COLLECT = {"type": "collect"}
"""The action that is noted."""
WORK_SECONDS = 0.006


class Books:
    """The messages of some publishers, and those that came to one consumer."""

    def __init__(self, *loads: Load) -> None:
        self.loads = loads
        self.seen = Counter[Sent]()
        self.times: list[float] = []
        """Arrivals on the topic `…/steady`, on the loop's clock."""

    async def collect(self, event: Event, _action: Mapping[str, Any]) -> None:
        """The action."""
        self.note(event.topic, event.payload)
        await asyncio.sleep(WORK_SECONDS)

    def note(self, topic: str, payload: str) -> None:
        """An action has begun."""
        self.seen[Sent(topic, payload)] += 1
        if topic.endswith("/steady"):
            self.times.append(asyncio.get_running_loop().time())

    @property
    def missing(self) -> set[Sent]:
        """Owed and not seen."""
        return self.missing_since(0)

    def missing_since(self, at: float) -> set[Sent]:
        """Those that the broker acknowledged after this time of the loop's clock."""
        owed = {sent for load in self.loads for sent, when in load.owed.items() if when >= at}
        return owed - self.seen.keys()

    async def settle(self, patience_seconds: float = 3) -> None:
        """Publish no more; wait until nothing is missing, or nothing comes any more."""
        for load in self.loads:
            await load.stop()
        while await self._something_new(patience_seconds if self.missing else 0.3):
            pass

    async def _something_new(self, timeout: float) -> bool:
        known = self.seen.total()
        try:
            return await eventually(lambda: self.seen.total() > known, timeout)
        except AssertionError:
            return False

    def row(self, fault: str, **fields: Any) -> Row:
        """What became of the messages."""
        owed = {sent for load in self.loads for sent in load.owed}
        resent = {sent for load in self.loads for sent in load.resent}
        again = sum(times - 1 for sent, times in self.seen.items() if sent not in resent)
        delivered = len(owed & self.seen.keys())
        return Row(fault=fault, sent=len(owed), delivered=delivered, duplicated=again, **fields)
