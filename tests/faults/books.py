"""What was published, what the actions saw of it, and what is missing."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

from mqtt_shared.mqtt import ConnectionLostError
from tests.support.waiting import eventually

from .load import Sent
from .table import Row

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence, Set

    from product_instance import Event

    from .load import Load

COLLECT = {"type": "collect"}
"""The action that is noted."""
WORK_SECONDS = 0.006


class Books:
    """The messages of some publishers, and those that came to one consumer."""

    def __init__(self, *loads: Load, acknowledged: Set[Sent] | None = None) -> None:
        self.loads = loads
        self.seen = Counter[Sent]()
        self.times: list[float] = []
        """Arrivals on the topic `…/steady`, on the loop's clock."""
        self._done = set[Sent]()
        self._finished = dict[Sent, int]()
        """How often each had come when the broker had read the acknowledgement of it."""
        self._acknowledged = acknowledged
        self._unfounded = set[Sent]()

    async def collect(self, event: Event, _action: Mapping[str, Any]) -> None:
        """The action."""
        self.note(event.topic, event.payload)
        await asyncio.sleep(WORK_SECONDS)
        self.end(event.topic, event.payload)

    def end(self, topic: str, payload: str) -> None:
        """An action has ended."""
        self._done.add(Sent(topic, payload))

    def note(self, topic: str, payload: str) -> None:
        """An action has begun."""
        sent = Sent(topic, payload)
        if self._acknowledged is not None and sent in self.seen and sent not in self._acknowledged:
            self._unfounded.add(sent)
        self.seen[sent] += 1
        for load in self.loads:
            load.came(payload)
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

    async def finish(
        self, connection: Callable[[], object], round_trip: Callable[[], Awaitable[None]]
    ) -> None:
        """Rest until the broker has read the acknowledgement of all that was published.

        One more message on each topic marks the end: those before it are done and acknowledged when it is,
        and the broker answers in order (MQTT 3.1.1, 4.6). Where the `connection` does not last as long, it is
        tried again.
        """
        for load in self.loads:
            load.rests = True
        await eventually(lambda: self._try_to_finish(connection, round_trip), 60)
        for load in self.loads:
            load.rests = False

    async def _try_to_finish(
        self, connection: Callable[[], object], round_trip: Callable[[], Awaitable[None]]
    ) -> bool:
        before = connection()
        marks = {sent for load in self.loads for sent in load.burst(1)}
        await eventually(lambda: marks <= self._done)
        finished = {sent: self.seen[sent] for sent in self._done}
        try:
            await round_trip()
        except ConnectionLostError:
            return False
        if connection() != before:
            return False
        self._finished = finished | self._finished
        return True

    @property
    def repeated_when_finished(self) -> set[Sent]:
        """Come once more although the broker had read that they are done."""
        return {sent for sent, times in self._finished.items() if self.seen[sent] > times} - self._resent

    @property
    def repeated_in_work(self) -> set[Sent]:
        """Worked on once more without having been acknowledged."""
        return self._unfounded - self._resent

    def repeated_outside(self, periods: Sequence[tuple[float, float]]) -> set[Sent]:
        """Those that have come more than once and were not on their way to the broker in any of these."""
        repeated = {sent for sent, times in self.seen.items() if times > 1} - self._resent
        return {sent for sent in repeated if not any(self._was_on_its_way(sent, *each) for each in periods)}

    def _was_on_its_way(self, sent: Sent, begin: float, end: float) -> bool:
        load = next(load for load in self.loads if sent in load.sent_at)
        return load.sent_at[sent] <= end and load.acknowledged_at.get(sent, end) >= begin

    @property
    def _resent(self) -> set[Sent]:
        return {sent for load in self.loads for sent in load.resent}

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
        resent = self._resent
        again = sum(times - 1 for sent, times in self.seen.items() if sent not in resent)
        delivered = len(owed & self.seen.keys())
        return Row(fault=fault, sent=len(owed), delivered=delivered, duplicated=again, **fields)
