"""NATS: takes heartbeats from the stream, tells status changes. The only module that knows nats-py."""

from __future__ import annotations

import asyncio
import contextlib
import time
from math import nan
from typing import TYPE_CHECKING, Any, cast

from msgspec import json
from nats.errors import Error as NatsError
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DeliverPolicy,
    DiscardPolicy,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)
from nats.js.errors import NotFoundError

from mqtt_shared.bus import connect
from mqtt_shared.logs import get_logger
from mqtt_shared.messages import MalformedMessageError, StatusChanged, encode

from .core.check import ForeignHeartbeatError, check
from .core.credit import Credit

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from nats.aio.client import Client
    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription
    from nats.js.api import ConsumerInfo

    from .buffer import Buffer
    from .clock import Clock
    from .drops import Drops
    from .metrics import Metrics
    from .settings import CollectorSettings

__all__ = ["CONSUMER", "MAX_UNACKNOWLEDGED", "REQUEST_SECONDS", "Consumer"]

log = get_logger(__name__)

CONSUMER = "status-collector"
MAX_UNACKNOWLEDGED = 20_000
"""Delivered and not committed, of all collectors together: the stream delivers no more then."""
_MOST_ASKED = 5_000
REQUEST_SECONDS = 5
"""How long the stream keeps a request for heartbeats that do not come."""
_GRACE_SECONDS = 2
_LOOK_SECONDS = 0.5
_TOLERATED_LAG = 1_000
_FAULTS = (NatsError, OSError, TimeoutError)


class Consumer:
    """One of those who share the durable consumer: asks the stream for as much as there is room for.

    Heartbeats come to a callback, which is four times as fast as fetching, and loses nothing when cancelled:
    what was not acknowledged comes again. A stream that pushes would deliver what cannot be taken: of a boot
    that reports on, nothing stays unacknowledged for long, so that its own limit does not hold it back.
    """

    problem: str | None = "not connected yet"
    """Why heartbeats do not come through; none when they do."""
    hearing = False
    """Heartbeats come through, and the backlog has been worked off."""

    def __init__(
        self,
        settings: CollectorSettings,
        buffer: Buffer,
        clock: Clock,
        drops: Drops,
        metrics: Metrics,
    ) -> None:
        self._subjects = settings.subjects
        self._retention = settings.heartbeat_retention_hours * 3600
        self._redelivery = settings.redelivery_seconds
        self._buffer = buffer
        self._clock = clock
        self._drops = drops
        self._metrics = metrics
        self._client: Client | None = None
        self._subscription: Subscription | None = None
        self._credit = Credit(_MOST_ASKED)
        self._inbox = ""
        self._made = False
        self._received_since = 0

    async def run(self, nats_url: str) -> None:
        """Connect, and keep the stream, the consumer and the subscription in being for ever."""
        self._client = await connect(nats_url, "status-collector", on_disconnected=self._disconnected)
        while True:
            try:
                await self._look(self._client)
            except _FAULTS as error:
                self._metrics.errors.labels("consume").inc()
                self._lost(str(error) or type(error).__name__)
            await asyncio.sleep(_LOOK_SECONDS)

    async def stop(self) -> None:
        """Take no more heartbeats; what was delivered already is in the buffer then. Bounded."""
        self.hearing, self._inbox = False, ""
        if self._subscription is not None:
            with contextlib.suppress(*_FAULTS):
                await asyncio.wait_for(self._subscription.drain(), 2)

    async def close(self) -> None:
        """Send what is to be sent and disconnect. Bounded."""
        if self._client is not None:
            with contextlib.suppress(*_FAULTS):
                await self._client.flush(2)
            with contextlib.suppress(*_FAULTS):
                await asyncio.wait_for(self._client.close(), 2)

    async def publish(self, changed: StatusChanged) -> None:
        """Tell a status; lost when NATS is away, and then the next heartbeat tells it."""
        if self._client is not None:
            with self._counted("publish"):
                await self._client.publish(self._subjects.status(changed.product_id), encode(changed))

    async def _disconnected(self) -> None:
        self._lost("disconnected")

    def _lost(self, problem: str) -> None:
        if self.problem is None:
            log.warning("heartbeats do not come through", error=problem)
        self.problem, self.hearing, self._made = problem, False, False
        self._credit.clear()

    async def _look(self, client: Client) -> None:
        if not self._made:
            await self._make(client)
        manager = self._manager(client)
        try:
            info = await manager.consumer_info(self._subjects.heartbeat_stream, CONSUMER)
        except NotFoundError:
            # Somebody removed the stream or the consumer, or the server lost its files.
            await self._make(client)
            return
        self._credit.expire(time.monotonic())
        await self._ask()
        lag: int = info.num_pending or 0
        received, self._received_since = self._received_since, 0
        self._metrics.lag.set(lag)
        self._metrics.unacknowledged.set(info.num_ack_pending or 0)
        self._metrics.oldest.set(await self._oldest_age(manager, info))
        # What is worked off within two seconds at the present pace is no backlog.
        tolerated = max(_TOLERATED_LAG, received * 2 / _LOOK_SECONDS)
        self.hearing = lag <= (tolerated if self.hearing else tolerated / 10)
        if self.problem is not None:
            log.info("heartbeats come through", lag=lag)
        self.problem = None

    async def _oldest_age(self, manager: Any, info: ConsumerInfo) -> float:
        """In seconds, by this machine's clock, of the oldest heartbeat not acknowledged; or unknown."""
        if not (info.num_pending or info.num_ack_pending) or info.ack_floor is None:
            return 0
        after, subject = info.ack_floor.stream_seq + 1, self._subjects.heartbeats
        try:
            oldest = await manager.get_msg(info.stream_name, seq=after, subject=subject, next=True)
        except NotFoundError:
            return 0
        except _FAULTS:
            # Heartbeats come through all the same.
            return nan
        return max(0.0, time.time() - oldest.time.timestamp())

    async def _make(self, client: Client) -> None:
        """Stream, consumer, subscription: each only if it is missing or another one."""
        manager = self._manager(client)
        await self._make_stream(manager)
        await self._make_consumer(manager)
        if self._subscription is None:
            inbox = client.new_inbox()
            self._subscription = await cast("Any", client).subscribe(
                f"{inbox}.*",
                cb=self._received,
                pending_msgs_limit=2 * MAX_UNACKNOWLEDGED,
                pending_bytes_limit=256 * 2**20,
            )
            self._inbox = inbox
        self._credit.clear()
        self._made = True

    async def _make_consumer(self, manager: Any) -> None:
        stream = self._subjects.heartbeat_stream
        with contextlib.suppress(NotFoundError):
            # One that pushes, as earlier versions made it, cannot be changed into one that is asked.
            if (await manager.consumer_info(stream, CONSUMER)).config.deliver_subject:
                await manager.delete_consumer(stream, CONSUMER)
        await manager.add_consumer(stream, self._consumer_config())

    async def _make_stream(self, manager: Any) -> None:
        wanted = self._stream_config()
        try:
            found = (await manager.stream_info(wanted.name)).config
        except NotFoundError:
            await manager.add_stream(wanted)
            return
        ours = ("subjects", "max_msgs_per_subject", "max_age", "discard")
        if any(getattr(found, name) != getattr(wanted, name) for name in ours):
            await manager.update_stream(found.evolve(**{name: getattr(wanted, name) for name in ours}))

    def _stream_config(self) -> StreamConfig:
        return StreamConfig(
            name=self._subjects.heartbeat_stream,
            description="The last heartbeat of each boot of each instance",
            subjects=[self._subjects.heartbeats],
            retention=RetentionPolicy.LIMITS,
            storage=StorageType.FILE,
            max_msgs_per_subject=1,
            discard=DiscardPolicy.OLD,
            max_age=self._retention,
        )

    def _consumer_config(self) -> ConsumerConfig:
        return ConsumerConfig(
            durable_name=CONSUMER,
            deliver_policy=DeliverPolicy.ALL,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=self._redelivery,
            max_ack_pending=MAX_UNACKNOWLEDGED,
        )

    def _manager(self, client: Client) -> Any:
        # Partly untyped.
        return cast("Any", client).jetstream(timeout=3)

    async def _received(self, message: Msg) -> None:
        if not message.reply:
            # Not a heartbeat: a request is over, without all that it asked for.
            self._credit.over(message.subject.rpartition(".")[2])
            await self._ask()
            return
        self._credit.came()
        self._received_since += 1
        self._metrics.received.inc()
        subject, reply = message.subject, message.reply
        try:
            received = time.monotonic()
            heard = check(subject, message.data, received, self._clock.at(received))
        except MalformedMessageError as error:
            await self._drop("malformed", subject, reply, str(error))
        except ForeignHeartbeatError as error:
            await self._drop("foreign", subject, reply, str(error))
        else:
            # Only the reply subject is kept: the message itself would hold its bytes.
            self._buffer.put(heard, reply)
            if self._credit.left <= _MOST_ASKED // 2:
                await self._ask()

    async def _ask(self) -> None:
        """Ask the stream for more, where there is room for more than is on its way."""
        if not self._made or not self._inbox:
            return
        until = time.monotonic() + REQUEST_SECONDS + _GRACE_SECONDS
        if asked := self._credit.ask(self._buffer.room, until):
            name, count = asked
            request = json.encode({"batch": count, "expires": REQUEST_SECONDS * 10**9})
            subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._subjects.heartbeat_stream}.{CONSUMER}"
            with self._counted("consume"):
                assert self._client is not None
                await self._client.publish(subject, request, f"{self._inbox}.{name}")

    async def _drop(self, reason: str, subject: str, reply: str, detail: str) -> None:
        # The boot's part of the subject is left out: a source is an instance, however often it starts.
        self._drops.count(reason, subject.rpartition(".")[0], detail)
        await self.acknowledge([reply])

    async def acknowledge(self, replies: Iterable[str]) -> None:
        """Tell the stream what is committed. One that is lost costs one more delivery, which adds nothing."""
        client = self._client
        assert client is not None
        with self._counted("acknowledge"):
            for reply in replies:
                await client.publish(reply)  # empty: acknowledged
        await self._ask()

    @contextlib.contextmanager
    def _counted(self, operation: str) -> Generator[None]:
        """What fails here is made up for later."""
        try:
            yield
        except _FAULTS:
            self._metrics.errors.labels(operation).inc()
