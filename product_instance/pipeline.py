"""From the receipt of a message to its acknowledgement.

Messages of one topic are worked on one after another, different topics side by side. A message is
acknowledged after its work is done, in the order of receipt (MQTT 3.1.1, 4.6).
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct, field

from mqtt_shared.logs import get_logger

from .core.router import Router
from .core.throttle import Throttle

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from mqtt_shared.mqtt import Message
    from mqtt_shared.plan import Route

__all__ = ["Delivery", "Feed", "Pipeline", "Routing"]

log = get_logger(__name__)


class Routing(Struct, frozen=True, kw_only=True):
    """Which subscriptions messages go to, under which revision, and what the actions may name."""

    router: Router = Router()
    revision: int | None = None
    variables: dict[str, str] = field(default_factory=dict[str, str])
    secrets: dict[str, str] = field(default_factory=dict[str, str])

    def __repr__(self) -> str:
        return f"Routing(revision={self.revision!r})"


class Delivery:
    """One message on its way through the pipeline."""

    __slots__ = ("client_id", "done", "feed", "message", "routes", "routing")

    def __init__(self, message: Message, feed: Feed, routes: tuple[Route, ...], routing: Routing) -> None:
        self.message = message
        self.feed = feed
        self.client_id = feed.client_id
        self.routes = routes
        self.routing = routing
        self.done = False

    def is_redelivered_as(self, message: Message) -> bool:
        """Is `message` this one again, in a later connection of the same session?"""
        mine = self.message
        return (message.duplicate, message.mid, message.topic, message.payload) == (
            True,
            mine.mid,
            mine.topic,
            mine.payload,
        )


class _Acker(Protocol):
    def ack(self, message: Message) -> bool: ...


class Feed:
    """The messages of one connection.

    A connection of the same session `inherits` what its predecessor could not acknowledge: what the broker
    then delivers again is not worked on a second time, only acknowledged.
    """

    def __init__(
        self, pipeline: Pipeline, client_id: str, routing: Routing, inherits: Feed | None = None
    ) -> None:
        self.client_id = client_id
        self.routing = routing
        self.received = 0
        self._pipeline = pipeline
        self._connection: _Acker | None = None
        self._unacked: OrderedDict[int, Delivery] = OrderedDict()
        self._past = inherits
        self._older: dict[int, Delivery] = inherits.only_older() if inherits else {}
        self._outstanding = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._closed = self._holds_acks = False

    def attach(self, connection: _Acker) -> None:
        """The connection to acknowledge on."""
        self._connection = connection

    def close(self) -> None:
        """Take no further messages; the broker keeps those that need an acknowledgement."""
        self._closed = True

    def hold_acks(self) -> None:
        """Acknowledge nothing until `release_acks`; the work goes on."""
        self._holds_acks = True

    def release_acks(self) -> None:
        """Acknowledge what was held."""
        self._holds_acks = False
        self.acknowledge()

    def only_older(self) -> dict[int, Delivery]:
        """What this connection inherited and never saw again; its predecessor can then be forgotten."""
        older = self._older | (dict(self._past._unacked) if self._past else {})
        self._older, self._past = {}, None
        return older

    def receive(self, message: Message) -> None:
        """The callback of the connection."""
        if self._closed:
            return
        self.received += 1
        if message.duplicate and message.qos and (known := self._known(message)):
            self._adopt(known, message)
            return
        routes = self.routing.router.match(message.topic)
        delivery = Delivery(message, self, routes, self.routing)
        if message.qos:
            self._unacked[message.mid] = delivery
        elif not self._pipeline.has_room:
            self._pipeline.drop(message)
            return
        self._hold()
        self._pipeline.put(delivery)

    def _known(self, message: Message) -> Delivery | None:
        # Looked up now: while the session is taken over, the old connection may still receive.
        for waiting in (self._past._unacked if self._past else {}, self._older):
            delivery = waiting.get(message.mid)
            if delivery and delivery.is_redelivered_as(message):
                return waiting.pop(message.mid)
        return None

    def _adopt(self, delivery: Delivery, message: Message) -> None:
        if not delivery.done:
            delivery.feed.let_go()
            self._hold()
        delivery.feed, delivery.message = self, message
        self._unacked[message.mid] = delivery
        self.acknowledge()

    def _hold(self) -> None:
        self._outstanding += 1
        self._idle.clear()

    def let_go(self) -> None:
        """One message less to wait for."""
        self._outstanding -= 1
        if not self._outstanding:
            self._idle.set()

    def settle(self, delivery: Delivery) -> None:
        """The work on a message is done."""
        delivery.done = True
        self.acknowledge()
        self.let_go()

    def acknowledge(self) -> None:
        """Acknowledge from the oldest on, as far as the work is done."""
        unacked, connection = self._unacked, self._connection
        while connection and unacked and not self._holds_acks:
            oldest = next(iter(unacked.values()))
            # On a connection that is gone they stay here, for the next one to inherit.
            if not oldest.done or not connection.ack(oldest.message):
                return
            unacked.popitem(last=False)

    async def idle(self) -> None:
        """Wait until nothing that came in is still being worked on."""
        await self._idle.wait()


class Pipeline:
    """Runs `work` for each message that has routes, `concurrency` topics at a time.

    `limit` bounds the messages of QoS 0 that wait; those beyond are dropped, and the log says so. Messages of
    QoS 1 and 2 are never dropped: the broker's window of unacknowledged messages bounds them.
    """

    def __init__(
        self,
        work: Callable[[Delivery], Coroutine[None, None, None]],
        settled: Callable[[Delivery], None],
        *,
        concurrency: int = 32,
        limit: int = 10_000,
    ) -> None:
        self._work = work
        self._settled = settled
        self._concurrency = concurrency
        self._limit = limit
        self._waiting = 0
        self._lanes: dict[str, deque[Delivery]] = {}
        self._ready: deque[str] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._drops = Throttle(60)
        self.dropped = 0

    @property
    def has_room(self) -> bool:
        """May another message of QoS 0 come in?"""
        return self._waiting < self._limit

    def drop(self, message: Message) -> None:
        """No room: QoS 0 is at most once (MQTT 3.1.1, 4.3.1)."""
        self.dropped += 1
        if self._drops.allows("drop", asyncio.get_running_loop().time()):
            log.warning(
                "more messages of QoS 0 than the actions can keep up with: dropping",
                topic=message.topic,
                dropped=self.dropped,
            )

    def put(self, delivery: Delivery) -> None:
        """Take a message; one without any action, with nothing before it on its topic, is done at once."""
        topic = delivery.message.topic
        lane = self._lanes.get(topic)
        if lane is None and not any(route.actions for route in delivery.routes):
            self._finish(delivery)
            return
        self._waiting += 1
        if lane is not None:
            lane.append(delivery)
            return
        self._lanes[topic] = deque([delivery])
        self._ready.append(topic)
        if len(self._tasks) < self._concurrency:
            task = asyncio.get_running_loop().create_task(self._run_lanes(), name="pipeline")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _run_lanes(self) -> None:
        while self._ready:
            topic = self._ready.popleft()
            lane = self._lanes[topic]
            delivery = lane[0]
            await self._work(delivery)
            self._finish(delivery)
            lane.popleft()
            self._waiting -= 1
            if lane:
                self._ready.append(topic)
            else:
                del self._lanes[topic]

    def _finish(self, delivery: Delivery) -> None:
        # Counted first: between the two a crash leaves it uncounted and unacknowledged, never counted twice.
        self._settled(delivery)
        delivery.feed.settle(delivery)

    async def close(self) -> None:
        """Stop at once; what is unfinished stays unacknowledged."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
