"""From the receipt of a message to its acknowledgement.

A message is done when every subscription that it belongs to is done with it. Each subscription works on its
own: messages of one topic one after another, up to `concurrency` topics side by side. So a slow action holds
up its own subscription only.
"""

from __future__ import annotations

import asyncio
from collections import deque
from secrets import token_hex
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Struct, field

from mqtt_shared import event as events
from mqtt_shared import tasks
from mqtt_shared.logs import get_logger

from .core.counters import Outcome
from .core.router import Router
from .core.throttle import Throttle

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from mqtt_shared.mqtt import Message
    from mqtt_shared.plan import Route

__all__ = ["Delivery", "Feed", "Job", "Pipeline", "Routing"]

log = get_logger(__name__)

_MOST_IDLE = 64
_BURST_JOBS = 256
"""After so many jobs in one go, other tasks get their turn."""
_EXACTLY_ONCE = 2
_PATIENCE_SECONDS = 1.0
"""How long a message that is held up keeps those after it from being acknowledged."""
_MANY_UNACKED = 10
_MOST_UNACKED_BYTES = 64 * 1024 * 1024
"""What one connection may bring in before it is no longer read: the bound where a broker has none."""


class Routing(Struct, frozen=True, kw_only=True):
    """Which subscriptions messages go to, under which revision, and what the actions may name."""

    router: Router = Router()
    former: Router = Router()
    """Subscriptions that are gone, for messages that the broker had queued for them."""
    revision: int | None = None
    variables: dict[str, str] = field(default_factory=dict[str, str])
    secrets: dict[str, str] = field(default_factory=dict[str, str])

    def __repr__(self) -> str:
        return f"Routing(revision={self.revision!r})"


class Delivery:
    """One message on its way through the pipeline."""

    __slots__ = (
        "_content",
        "_identity",
        "done",
        "feed",
        "message",
        "number",
        "outcomes",
        "overtaken",
        "received_at",
        "routes",
        "routing",
        "session",
        "unfinished",
    )

    def __init__(
        self, message: Message, feed: Feed, routes: tuple[Route, ...], routing: Routing, received_at: float
    ) -> None:
        self.message = message
        self.feed = feed
        self.session, self.number = feed.session, feed.received
        self.routes = routes
        self.routing = routing
        self.received_at = received_at
        """Seconds of `time.monotonic`; a loop's clock may be coarser."""
        self.unfinished = len(routes)
        self.outcomes: list[Outcome] = []
        self.done = self.overtaken = False
        self._content: tuple[Any, str | None] | None = None
        self._identity: str | None = None

    @property
    def content(self) -> tuple[Any, str | None]:
        """`payload` and `payload_base64` of the event; decoded once for all subscriptions."""
        if self._content is None:
            self._content = events.content(self.message.payload)
        return self._content

    @property
    def identity(self) -> str:
        """`message_id` of the event: the same for a redelivery in a session that persists."""
        if self._identity is None:
            message = self.message
            # QoS 0 has no packet id, and is never delivered again.
            place = (self.session, message.mid) if message.qos else (self.feed.nonce, self.number)
            self._identity = events.message_id(*place, message.topic, message.payload)
        return self._identity

    def is_redelivered_as(self, message: Message) -> bool:
        """Is `message` this one again, in a later connection of the same session?"""
        mine = self.message
        return (message.duplicate, message.mid, message.topic, message.payload) == (
            True,
            mine.mid,
            mine.topic,
            mine.payload,
        )


class Job:
    """One message in one subscription."""

    __slots__ = ("delivery", "queue", "route")

    def __init__(self, delivery: Delivery, route: Route, queue: _Queue) -> None:
        self.delivery = delivery
        self.route = route
        self.queue = queue

    @property
    def holds_up(self) -> int:
        """How many messages of the subscription wait, this one included."""
        return self.queue.waiting


class _Acker(Protocol):
    def ack(self, message: Message) -> bool: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...


class Feed:
    """The messages of one connection, acknowledged in the order of receipt (MQTT 3.1.1 and 5, 4.6).

    One exception: a message that is held up for more than a second no longer holds up the acknowledgement of
    those after it. Otherwise one stuck action would fill the broker's window of unacknowledged messages, and
    so stop every subscription.

    A connection of the same session `inherits` what its predecessor could not acknowledge: what the broker
    then delivers again is not worked on a second time, only acknowledged.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        client_id: str,
        routing: Routing,
        inherits: Feed | None = None,
        *,
        persists: bool = True,
    ) -> None:
        self.routing = routing
        self.received = 0
        self.nonce = token_hex(8)
        self.session = client_id if persists else f"{client_id}/{self.nonce}"
        self._pipeline = pipeline
        self._connection: _Acker | None = None
        self._loop = asyncio.get_running_loop()
        self._unacked: dict[int, Delivery] = {}
        self._unacked_bytes = 0
        self._order: deque[Delivery] = deque()
        self._patience: asyncio.TimerHandle | None = None
        self._past = inherits
        self._older: dict[int, Delivery] = inherits.only_older() if inherits else {}
        self._completed: dict[int, Delivery] = inherits._completed if inherits else {}
        """Of QoS 2: answered with PUBREC, and PUBREL has not come yet (MQTT 3.1.1 and 5, 4.3.3)."""
        self._outstanding = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._closed = self._holds_acks = self._paused = self._draining = False

    def attach(self, connection: _Acker) -> None:
        """The connection to acknowledge on."""
        self._connection = connection

    def close(self) -> None:
        """Take no further messages; the broker keeps those that need an acknowledgement."""
        self._closed = True

    def drain(self) -> None:
        """Read on whatever comes: the end of what the broker has is near."""
        self._draining = True
        self._read_on()

    def hold_acks(self) -> None:
        """Acknowledge nothing until `release_acks`; the work goes on."""
        self._holds_acks = True

    def release_acks(self) -> None:
        """Acknowledge what was held."""
        self._holds_acks = False
        for delivery in [each for each in self._unacked.values() if each.overtaken and each.done]:
            self._ack(delivery)
        self.acknowledge()

    def forget(self) -> None:
        """The broker keeps no session: what an earlier connection received does not come again."""
        self._past, self._older, self._completed = None, {}, {}

    def only_older(self) -> dict[int, Delivery]:
        """What this connection inherited and never saw again; its predecessor can then be forgotten.

        An attempt that fails may have asked for it: it is still there for the next one.
        """
        if self._past:
            self._older, self._past = self._older | self._past._unacked, None
        return self._older

    def receive(self, message: Message) -> None:
        """The callback of the connection."""
        if self._closed:
            return
        self.received += 1
        if message.qos and not message.duplicate:
            # The broker gives the packet id to another message: the one that had it does not come again.
            self._older.pop(message.mid, None)
        elif message.qos and self._has_seen(message):
            return
        if message.qos == _EXACTLY_ONCE and self._is_completed(message):
            return
        routing = self.routing
        routes = routing.router.match(message.topic) or routing.former.match(message.topic)
        delivery = Delivery(message, self, routes, routing, monotonic())
        if message.qos:
            self._keep(delivery)
        self._hold()
        self._pipeline.put(delivery)

    def _is_completed(self, message: Message) -> bool:
        """Is it one whose PUBREC got lost? Then it gets another one. A new message ends what had its id."""
        delivery = self._completed.get(message.mid)
        if delivery and delivery.is_redelivered_as(message) and self._connection:
            self._connection.ack(message)
            return True
        self._completed.pop(message.mid, None)
        return False

    def released(self, mid: int) -> None:
        """PUBREL came: the broker will not send the message of QoS 2 with this packet id again."""
        self._completed.pop(mid, None)

    def _keep(self, delivery: Delivery) -> None:
        self._unacked[delivery.message.mid] = delivery
        self._order.append(delivery)
        self._unacked_bytes += len(delivery.message.payload)
        # Their number is bounded by MQTT: a packet id has two bytes. A lower bound would do harm: what is not
        # read may be the broker's answer that the work on one of them waits for.
        full = self._unacked_bytes >= _MOST_UNACKED_BYTES
        if full and not self._paused and not self._draining and self._connection:
            log.warning("too many messages without an acknowledgement: not reading on until some are done")
            self._paused = True
            self._connection.pause()

    def _read_on(self) -> None:
        if self._paused and self._connection:
            self._paused = False
            self._connection.resume()

    def _has_seen(self, message: Message) -> bool:
        mine = self._unacked.get(message.mid)
        if mine and mine.is_redelivered_as(message):
            # Some brokers deliver again on the same connection what takes long.
            return True
        if known := self._known(message):
            self._adopt(known, message)
            return True
        return False

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
        delivery.feed, delivery.message, delivery.overtaken = self, message, False
        self._keep(delivery)
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
        if delivery.overtaken:
            self._ack(delivery)
        elif delivery.message.qos:
            self.acknowledge()
        self.let_go()

    def acknowledge(self) -> None:
        """Acknowledge from the oldest on, as far as the work is done."""
        order = self._order
        while order:
            oldest = order[0]
            if oldest.feed is not self:
                # Adopted by a later connection.
                order.popleft()
            elif oldest.done:
                if not self._ack(oldest):
                    return
                order.popleft()
            elif self._is_overdue(oldest):
                oldest.overtaken = True
                order.popleft()
                self._pipeline.tell_of_slowness(oldest, len(self._unacked))
            else:
                return

    def _is_overdue(self, oldest: Delivery) -> bool:
        left = oldest.received_at + _PATIENCE_SECONDS - monotonic()
        if left > 0 and self._patience is None:
            self._patience = self._loop.call_later(left, self._lose_patience)
        return left <= 0

    def _lose_patience(self) -> None:
        self._patience = None
        self.acknowledge()

    def _ack(self, delivery: Delivery) -> bool:
        # On a connection that is gone they stay here, for the next one to inherit.
        if self._holds_acks or self._connection is None or not self._connection.ack(delivery.message):
            return False
        self._unacked.pop(delivery.message.mid, None)
        if delivery.message.qos == _EXACTLY_ONCE:
            self._completed[delivery.message.mid] = delivery
        self._unacked_bytes -= len(delivery.message.payload)
        if self._paused and self._unacked_bytes * 2 <= _MOST_UNACKED_BYTES:
            self._read_on()
        return True

    async def idle(self) -> None:
        """Wait until nothing that came in is still being worked on."""
        await self._idle.wait()


class _Queue:
    """The messages of one subscription that wait or are worked on."""

    __slots__ = ("concurrency", "lanes", "ready", "running", "waiting")

    def __init__(self) -> None:
        self.lanes: dict[str, deque[Job] | None] = {}
        """By topic, what waits behind the message that is first; null: nothing does."""
        self.ready: deque[Job] = deque()
        """First of their topics, without a place to run."""
        self.running = self.waiting = 0
        self.concurrency = 1


class Pipeline:
    """Runs `work` for each message in each of its subscriptions, and `settled` once all are done with it.

    `limit` bounds the messages of QoS 0 that wait in a subscription, `limit_bytes` those of all; those beyond
    are dropped, and the log says so. Messages of QoS 1 and 2 are never dropped.
    """

    def __init__(
        self,
        work: Callable[[Job], Coroutine[None, None, Outcome]],
        settled: Callable[[Delivery], None],
        *,
        limit: int = 10_000,
        limit_bytes: int = _MOST_UNACKED_BYTES,
    ) -> None:
        self._work = work
        self._settled = settled
        self._limit, self._limit_bytes = limit, limit_bytes
        self._unsafe_bytes = 0
        self._queues: dict[int, _Queue] = {}
        self._ready: deque[Job] = deque()
        self._workers: set[asyncio.Task[None]] = set()
        self._idle: list[asyncio.Future[None]] = []
        self._is_waking = False
        self._said = Throttle(60)
        self.dropped = 0

    def put(self, delivery: Delivery) -> None:
        """Take a message; one that belongs to no subscription is done at once."""
        unsafe = not delivery.message.qos
        for route in delivery.routes:
            if unsafe and not self._has_room(delivery, route):
                self._drop(delivery, route)
            else:
                self._enqueue(delivery, route)
        if not delivery.unfinished:
            self._finish(delivery)

    def _has_room(self, delivery: Delivery, route: Route) -> bool:
        queue = self._queues.get(route.subscription_id)
        if self._unsafe_bytes + len(delivery.message.payload) > self._limit_bytes:
            return False
        return queue is None or queue.waiting < self._limit

    def _drop(self, delivery: Delivery, route: Route) -> None:
        """No room: QoS 0 is at most once (MQTT 3.1.1, 4.3.1)."""
        self.dropped += 1
        delivery.unfinished -= 1
        if self._said.allows(route.name, delivery.received_at):
            log.warning(
                "more messages of QoS 0 than the actions can keep up with: dropping",
                subscription=route.name,
                topic=delivery.message.topic,
                dropped=self.dropped,
            )

    def tell_of_slowness(self, delivery: Delivery, unacked: int) -> None:
        """Somebody who wonders why other subscriptions get no messages finds the reason in the log."""
        if unacked >= _MANY_UNACKED and self._said.allows("slow", delivery.received_at):
            log.warning(
                "messages take long; the broker may hold back others until they are done",
                subscriptions=[route.name for route in delivery.routes],
                topic=delivery.message.topic,
                unacknowledged=unacked,
            )

    def _enqueue(self, delivery: Delivery, route: Route) -> None:
        queue = self._queues.get(route.subscription_id)
        if queue is None:
            queue = self._queues[route.subscription_id] = _Queue()
        topic = delivery.message.topic
        is_first = topic not in queue.lanes
        if is_first and not route.actions:
            delivery.outcomes.append(Outcome(subscription_id=route.subscription_id))
            delivery.unfinished -= 1
            return
        job = Job(delivery, route, queue)
        queue.waiting += 1
        queue.concurrency = route.concurrency
        if not delivery.message.qos:
            self._unsafe_bytes += len(delivery.message.payload)
        if is_first:
            queue.lanes[topic] = None
            self._run_soon(job)
        elif lane := queue.lanes[topic]:
            lane.append(job)
        else:
            queue.lanes[topic] = deque((job,))

    def _run_soon(self, job: Job) -> None:
        queue = job.queue
        if queue.running >= queue.concurrency:
            queue.ready.append(job)
            return
        queue.running += 1
        self._ready.append(job)
        self._wake()

    def _wake(self) -> None:
        """Have a worker look, if there is work: an idle one, or else a new one."""
        if self._is_waking or not self._ready:
            return
        self._is_waking = True
        if self._idle:
            self._idle.pop().set_result(None)
            return
        worker = asyncio.get_running_loop().create_task(self._run(), name="worker")
        self._workers.add(worker)
        worker.add_done_callback(self._workers.discard)

    async def _run(self) -> None:
        """A worker. It wakes the next one before it starts on a message: should this one wait for something,
        the others need not. A task for each message would cost more than the rest of its way.
        """
        self._is_waking = False
        burst = 0
        while True:
            if not self._ready:
                if len(self._idle) >= _MOST_IDLE:
                    return
                burst = 0
                await self._rest()
                continue
            job = self._ready.popleft()
            if self._ready:
                self._wake()
            try:
                outcome = await self._work(job)
            except Exception:
                log.exception("a defect; the message stays unacknowledged", topic=job.delivery.message.topic)
                outcome = None
            self._done(job, outcome)
            burst += 1
            if burst == _BURST_JOBS:
                burst = 0
                await asyncio.sleep(0)

    async def _rest(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._idle.append(waiter)
        try:
            await waiter
        finally:
            self._is_waking = False
            if waiter in self._idle:
                self._idle.remove(waiter)

    def _done(self, job: Job, outcome: Outcome | None) -> None:
        delivery, queue = job.delivery, job.queue
        queue.running -= 1
        queue.waiting -= 1
        topic = delivery.message.topic
        if lane := queue.lanes[topic]:
            # Behind those of other topics that wait for a place.
            queue.ready.append(lane.popleft())
        else:
            del queue.lanes[topic]
        while queue.ready and queue.running < queue.concurrency:
            self._run_soon(queue.ready.popleft())
        if not delivery.message.qos:
            self._unsafe_bytes -= len(delivery.message.payload)
        if outcome is None:
            return
        delivery.outcomes.append(outcome)
        delivery.unfinished -= 1
        if not delivery.unfinished:
            self._finish(delivery)

    def _finish(self, delivery: Delivery) -> None:
        # Counted first: between the two a crash leaves it uncounted and unacknowledged, never counted twice.
        self._settled(delivery)
        delivery.feed.settle(delivery)

    async def close(self) -> None:
        """Stop at once; what is unfinished stays unacknowledged."""
        await tasks.end(self._workers)
