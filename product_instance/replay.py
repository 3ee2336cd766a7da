"""Running failed actions again, outside of an instance."""

from __future__ import annotations

import asyncio
from base64 import b64decode
from datetime import UTC, datetime
from random import Random
from typing import TYPE_CHECKING, Self

from msgspec import structs

from mqtt_shared.bus import NatsError
from mqtt_shared.event import Event, content
from mqtt_shared.mqtt import ConnectionLostError, ConnectRefusedError

from . import builtin
from .actions import Actions, load_modules
from .core.configuration import Configuration, Reader, RejectedError
from .core.steps import Steps
from .deadletters import DeadLetters
from .errors import ActionError, InstanceError, PayloadGoneError
from .inspection import visit
from .mail import Mailer
from .pipeline import Routing
from .runner import Attempts
from .settings import InstanceSettings, ProductSettings, secret, variables
from .state import State
from .watcher import Bus
from .webhook import Webhooks

if TYPE_CHECKING:
    from types import TracebackType

    from mqtt_shared.messages import DeadLetter
    from mqtt_shared.mqtt import Connection

    from .core.steps import Step
    from .deadletters import StoredLetter

__all__ = ["Letters", "Replay"]


class Letters:
    """The dead letters of a product, and the connection to NATS that they are read with."""

    def __init__(self, settings: ProductSettings, name: str = "dead letters") -> None:
        self._wait_seconds = settings.config_wait_seconds
        self.nats = Bus(settings.nats_url, f"product-instance {name} {settings.product_id}")
        self.letters = DeadLetters(self.nats, settings.subjects, settings.product_id)

    async def __aenter__(self) -> Self:
        try:
            async with asyncio.timeout(self._wait_seconds):
                await self.nats.connect()
        except TimeoutError:
            await self.nats.close()
            raise InstanceError("NATS does not answer: look at NATS_URL") from None
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.nats.close()


class Replay(Letters):
    """Runs the action of a dead letter again, with the configuration that is wanted now.

    Raises:
        InvalidSettingsError: a module in ACTIONS cannot be used.
    """

    def __init__(self, settings: InstanceSettings) -> None:
        super().__init__(settings, "replay")
        self._settings = settings
        self._actions = Actions()
        self._webhooks, self._mqtt = Webhooks(), _Mqtt(settings)
        builtin.register(self._actions, self._mqtt, self.nats, self._webhooks, Mailer(settings))
        load_modules(settings.action_modules, self._actions)
        # Only jitter: nothing secret comes of it.
        self._attempts = Attempts(self._actions, Random())  # noqa: S311 - spreads retries, no secret
        self._steps = Steps(settings.action_timeout_seconds)
        self._configuration: Configuration | None = None

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        try:
            self._configuration = self._mqtt.configuration = await self._read_configuration()
        except BaseException:
            await super().__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._webhooks.close()
        await self._mqtt.close()
        await super().__aexit__(kind, error, traceback)

    async def _read_configuration(self) -> Configuration:
        settings = self._settings
        instance_id, _ = State.peek(settings.state_dir, settings.product_id, settings.instance_id)
        known = variables(settings, instance_id or "replay")
        subjects = settings.subjects
        try:
            found = await self.nats.request_last(subjects.bucket_stream, subjects.config(settings.product_id))
        except (NatsError, OSError, TimeoutError) as error:
            raise InstanceError(f"no answer from NATS: {error or type(error).__name__}") from error
        if found is None or not found.data:
            raise InstanceError("NATS has no configuration of this product")
        return Reader(settings.product_id, secret(settings.product_key), known).read(found.data, "nats")

    async def run(self, stored: StoredLetter) -> str | None:
        """Run one again: null when it worked, and the letter is gone; else the error, and the letter stays,
        with the attempts added.

        Raises:
            InstanceError: NATS does not answer.
        """
        try:
            letter = await self.letters.whole(stored.letter)
            step = self._step(letter)
        except PayloadGoneError as error:
            return str(error)
        except RejectedError as error:
            return error.reason
        assert self._configuration is not None
        routing = Routing(
            variables=self._configuration.variables, secrets=self._configuration.target.secrets.named
        )
        failure = await self._attempts.run(step, _event(letter), routing, lambda: True)
        if failure:
            await self.letters.put(
                structs.replace(
                    letter,
                    error=failure.error,
                    attempts=letter.attempts + failure.attempts,
                    failed_at=datetime.now(UTC),
                )
            )
        await self.letters.remove(stored)
        return failure.error if failure else None

    def _step(self, letter: DeadLetter) -> Step:
        assert self._configuration is not None
        route = self._configuration.target.routes.get(letter.subscription_id)
        if route is None:
            raise RejectedError(f"the subscription {letter.subscription} is disabled or no longer there")
        steps = self._steps.of(route.subscription_id, route.actions)
        if letter.action >= len(steps) or steps[letter.action].action_type != letter.action_type:
            raise RejectedError(
                f"action {letter.action} of {letter.subscription} is no longer a {letter.action_type}"
            )
        return steps[letter.action]


def _event(letter: DeadLetter) -> Event:
    payload, payload_base64 = content(b64decode(letter.payload_base64))
    return Event(
        product_id=letter.product_id,
        instance_id=letter.instance_id,
        subscription=letter.subscription,
        topic=letter.topic,
        payload=payload,
        payload_base64=payload_base64,
        qos=letter.qos,
        retain=letter.retain,
        received_at=letter.received_at,
        message_id=letter.message_id,
        revision=letter.revision,
    )


class _Mqtt:
    """A connection to the product's broker, made when something is published; it subscribes nothing."""

    configuration: Configuration | None = None

    def __init__(self, settings: InstanceSettings) -> None:
        self._timeout_seconds = settings.connect_timeout_seconds
        self._connection: Connection | None = None

    async def publish(self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False) -> None:
        try:
            if self._connection is None or not self._connection.is_open:
                self._connection = await self._open()
            await self._connection.publish(topic, payload, qos=qos, retain=retain)
        except (ConnectRefusedError, ConnectionLostError) as error:
            raise ActionError(str(error)) from error

    async def _open(self) -> Connection:
        if self.configuration is None or self.configuration.target.broker is None:
            raise ActionError("the configuration names no broker")
        connection = visit(self.configuration, self._timeout_seconds)
        await connection.open()
        return connection

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close()
