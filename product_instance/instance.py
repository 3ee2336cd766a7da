"""One instance of a product: builds everything, and closes it in reverse order."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
import uuid
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from importlib import metadata
from random import Random
from typing import TYPE_CHECKING, Any, Self

from msgspec import structs

from mqtt_shared import tasks
from mqtt_shared.logs import get_logger
from mqtt_shared.messages import Heartbeat, Snapshot
from mqtt_shared.plan import resolve
from mqtt_shared.sealing import Secrets, key_id
from mqtt_shared.topics import InvalidTopicError, derive

from . import builtin
from .actions import Actions, load_modules
from .commands import Commands
from .controller import Controller
from .core.configuration import Configuration, Reader, RejectedError
from .core.counters import CounterBook
from .deadletters import DeadLetters
from .heartbeat import Heartbeats
from .leftovers import Leftovers
from .mail import Mailer
from .pipeline import Pipeline
from .runner import Runner
from .session import Session
from .settings import InstanceSettings, secret, variables
from .state import State
from .watcher import Bus, Watcher
from .webhook import Webhooks

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence
    from types import TracebackType

    from mqtt_shared.messages import Subscription
    from mqtt_shared.refusals import Refusal

    from .actions import H

__all__ = ["ProductInstance"]

log = get_logger(__name__)

# Read once: it is looked up on the disk.
_VERSION = metadata.version("mqtt-control-plane")


class ProductInstance:
    """Consumes what its product's configuration says, and follows every change of it.

        async with ProductInstance(settings) as instance:
            await instance.run()

    Several can live in one process. `actions` are the program's own action types, to which `action` adds.
    `subscriptions` are used on the fallback (environment or defaults), which
    has none of its own; a subscription with an empty topic gets the derived one.

    Raises:
        StateInUseError: another process runs under the same instance id from the same STATE_DIR.
        InvalidSettingsError: a module in ACTIONS cannot be used.
    """

    def __init__(
        self,
        settings: InstanceSettings,
        *,
        actions: Actions | None = None,
        subscriptions: Sequence[Subscription] = (),
        environment: Mapping[str, str] | None = None,
        random: Random | None = None,
    ) -> None:
        self.settings = settings
        self.actions = Actions()
        self._subscriptions = subscriptions
        # Only jitter: nothing secret comes of it.
        self._random = random or Random()  # noqa: S311 - spreads retries, no secret
        self._book = CounterBook()
        self._started_at = datetime.now(UTC)
        self._boot_id = uuid7()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._stopping = asyncio.Event()
        self._unsaved: bytes | None = None
        self._to_save = asyncio.Event()
        self._saving = threading.Lock()
        self._nats = Bus(settings.nats_url, f"product-instance {settings.product_id}")
        self._webhooks = Webhooks()
        builtin.register(self.actions, self, self._nats, self._webhooks, Mailer(settings))
        if actions is not None:
            self.actions.include(actions)
        load_modules(settings.action_modules, self.actions)
        self._state = State(settings.state_dir, settings.product_id, settings.instance_id)
        self.instance_id = self._state.instance_id
        self._variables = variables(settings, self.instance_id, environment)
        self._reader = Reader(settings.product_id, secret(settings.product_key), self._variables)
        self._session = self._build_session()
        self._heartbeats = Heartbeats(
            self._nats,
            settings.subjects.heartbeat(settings.product_id, self.instance_id, self._boot_id),
            settings.heartbeat_interval_seconds,
            self.heartbeat,
        )
        self._controller = Controller(
            self._session, random=self._random, on_applied=self._applied, on_change=self._heartbeats.changed
        )
        self._commands = Commands(
            settings.subjects.command(settings.product_id),
            self.instance_id,
            self._controller.request_reconnect,
        )
        self._watcher = Watcher(
            self._nats,
            settings.subjects,
            settings.product_id,
            random=self._random,
            refresh_seconds=settings.config_refresh_seconds,
            on_snapshot=self._snapshot,
        )

    def _build_session(self) -> Session:
        product_id = self.settings.product_id
        runner = Runner(
            self.actions,
            self._book,
            DeadLetters(self._nats, self.settings.subjects, product_id, self.instance_id),
            product_id=product_id,
            instance_id=self.instance_id,
            random=self._random,
            timeout_seconds=self.settings.action_timeout_seconds,
        )
        self._pipeline = Pipeline(runner.work, runner.settled)
        return Session(
            self._pipeline,
            product_id=self.settings.product_id,
            instance_id=self.instance_id,
            on_lost=self._lost,
            leftovers=Leftovers(self._state),
            connect_timeout_seconds=self.settings.connect_timeout_seconds,
        )

    def action(self, action_type: str) -> Callable[[H], H]:
        """Decorator: run actions of this type with the function; see `Actions.register`."""
        return self.actions.action(action_type)

    async def publish(self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False) -> None:
        """Publish on the connection to the product's broker.

        Raises:
            ConnectionLostError: there is none, or it ended before the broker answered.
        """
        await self._session.publish(topic, payload, qos=qos, retain=retain)

    # Life

    async def __aenter__(self) -> Self:
        self._start("nats", self._follow_nats())
        self._start("state", self._keep_last_known_good())
        self._start("controller", self._converge())
        self._start("heartbeats", self._heartbeats.run())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # From the last to the first; each also when one before it failed or was cancelled.
        async with AsyncExitStack() as ending:
            ending.callback(self._state.close)
            ending.callback(self._save)
            ending.push_async_callback(self._cancel, "state")
            ending.push_async_callback(self._nats.close)
            ending.push_async_callback(self._cancel, "nats")
            ending.push_async_callback(self._heartbeats.last)
            ending.push_async_callback(self._cancel, "heartbeats")
            ending.push_async_callback(self._webhooks.close)
            ending.push_async_callback(self._pipeline.close)
            ending.push_async_callback(self._session.close, self.settings.drain_timeout_seconds)
            ending.push_async_callback(self._cancel, "controller")
        log.info("stopped", instance_id=self.instance_id)

    def stop(self) -> None:
        """Have `run` return."""
        self._stopping.set()

    async def run(self) -> None:
        """Work until `stop`.

        Raises:
            Exception: a background task died of a defect; a half-alive instance would be worse.
        """
        stopping = asyncio.create_task(self._stopping.wait(), name="stopping")
        try:
            await asyncio.wait([stopping, *self._tasks.values()], return_when=asyncio.FIRST_COMPLETED)
            for task in self._tasks.values():
                if task.done():
                    task.result()
        finally:
            stopping.cancel()

    def _start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        self._tasks[name] = asyncio.create_task(work, name=f"{name} of {self.instance_id}")

    async def _cancel(self, name: str) -> None:
        task = self._tasks.pop(name)
        await tasks.end([task])
        if not task.cancelled() and (error := task.exception()):
            log.error("background task had died", task=name, error=repr(error))

    # Configuration

    async def _follow_nats(self) -> None:
        await self._nats.connect()
        await self._commands.listen(self._nats)
        await self._watcher.run()

    async def _converge(self) -> None:
        self._use_last_known_good()
        try:
            # What NATS has now is better than what it had when we stopped.
            async with asyncio.timeout(self.settings.config_wait_seconds):
                await self._watcher.answered.wait()
        except TimeoutError:
            log.warning("no answer from NATS yet; going on without")
        if not self._controller.knows_a_snapshot:
            self._use_fallback()
        elif self._controller.applied:
            log.info("configuration in force", source="disk", revision=self._controller.applied.revision)
        await self._controller.run()

    def _lost(self, refusal: Refusal) -> None:
        self._controller.lost(refusal)

    def _snapshot(self, raw: bytes) -> None:
        try:
            configuration = self._reader.read(raw, "nats")
        except RejectedError as error:
            self._controller.reject(error)
        else:
            self._controller.offer(configuration)

    def _use_last_known_good(self) -> None:
        if (raw := self._state.load()) is None:
            return
        try:
            self._controller.adopt(self._reader.read(raw, "disk"))
        except RejectedError as error:
            log.warning("the last known good configuration cannot be used", reason=error.reason)

    def _use_fallback(self) -> None:
        source = self.settings.fallback_source
        try:
            configuration = self._fallback()
        except InvalidTopicError as error:
            log.error("the fallback cannot be used", source=source, reason=str(error))
            return
        log.info(
            "no configuration known; using the fallback",
            source=source,
            host=self.settings.fallback_broker.host,
            subscriptions=len(configuration.target.routes),
        )
        self._controller.adopt(configuration)

    def _fallback(self) -> Configuration:
        topics = self.settings.fallback_topics
        snapshot = Snapshot(
            product_id=self.settings.product_id,
            revision=0,
            issued_at=self._started_at,
            broker=self.settings.fallback_broker,
            topics=topics,
            subscriptions=[_with_topic(each, topics.prefix, topics.pattern) for each in self._subscriptions],
        )
        secrets = Secrets(password=secret(self.settings.mqtt_password))
        target = resolve(snapshot, secrets, self._variables)
        return Configuration(source=self.settings.fallback_source, target=target, variables=self._variables)

    def _applied(self, configuration: Configuration) -> None:
        if configuration.raw is not None:
            self._unsaved = configuration.raw
            self._to_save.set()

    async def _keep_last_known_good(self) -> None:
        """Write in a thread: waiting for the disk must not hold up the messages of the new configuration."""
        while True:
            await self._to_save.wait()
            self._to_save.clear()
            await asyncio.to_thread(self._save)

    def _save(self) -> None:
        # The last time, at the end, waits for a thread that still writes: the next run reads what it wrote,
        # and an older snapshot must not come after a newer one.
        with self._saving:
            raw, self._unsaved = self._unsaved, None
            if raw is not None:
                self._state.store(raw)

    # What is told

    def heartbeat(self, seq: int = 0, stopping: bool = False) -> Heartbeat:
        """The state of the instance, as it is told."""
        session, applied = self._session, self._controller.applied
        connected = session.is_connected
        return Heartbeat(
            product_id=self.settings.product_id,
            instance_id=self.instance_id,
            boot_id=self._boot_id,
            seq=seq,
            sent_at=datetime.now(UTC),
            interval=self.settings.heartbeat_interval_seconds,
            started_at=self._started_at,
            version=_VERSION,
            host=socket.gethostname(),
            connected=connected,
            connected_since=session.connected_at if connected else None,
            client_id=session.client_id,
            broker_info=session.broker_info,
            connection_error=None if connected else self._controller.connection_error,
            applied_revision=applied.revision if applied else None,
            applied_digest=applied.digest if applied else None,
            rejected=self._controller.rejected,
            subscribed_topics_count=session.subscribed_topics_count,
            counters=self._book.counters(),
            latency=self._book.latency(),
            action_types=self.actions.types,
            key_id=key_id(key) if (key := secret(self.settings.product_key)) else None,
            stopping=stopping,
        )


def _with_topic(subscription: Subscription, prefix: str, pattern: str) -> Subscription:
    if subscription.topic:
        return subscription
    return structs.replace(subscription, topic=derive(prefix, pattern, subscription.name))


def uuid7() -> str:
    """A UUID of version 7 (RFC 9562, 5.7): sorts by the millisecond of its making."""
    milliseconds = time.time_ns() // 1_000_000
    random_bits = uuid.uuid4().int & ((1 << 74) - 1)
    high = milliseconds << 16 | 0x7 << 12 | random_bits >> 62
    low = 0b10 << 62 | random_bits & ((1 << 62) - 1)
    return str(uuid.UUID(int=high << 64 | low))
