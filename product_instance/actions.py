"""Action types, and running the actions of a message."""

from __future__ import annotations

import asyncio
import inspect
from datetime import UTC, datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar, cast

from mqtt_shared import event as events
from mqtt_shared.conditions import holds
from mqtt_shared.event import Event
from mqtt_shared.logs import get_logger
from mqtt_shared.outgoing import rendered
from mqtt_shared.settings import InvalidSettingsError

from .core.counters import CounterBook, Outcome
from .core.throttle import Throttle
from .errors import UnknownActionError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from mqtt_shared.plan import Route

    from .pipeline import Delivery, Routing

    Handler = Callable[[Event, Mapping[str, Any]], Awaitable[None] | None]
    H = TypeVar("H", bound=Handler)

__all__ = ["Actions", "Runner", "load_modules"]

log = get_logger(__name__)


class Actions:
    """The action types that an instance can run."""

    def __init__(self) -> None:
        self._handlers: dict[str, Handler] = {}

    @property
    def types(self) -> list[str]:
        """Sorted names."""
        return sorted(self._handlers)

    def register(self, action_type: str, handler: Handler) -> None:
        """Run `handler(event, action)` for actions of this type; `action` is the action as it was configured.

        A coroutine function runs in the event loop, any other function in a thread of its own, so that it may
        block. An exception is a failed action. A later registration takes the place of an earlier one.
        """
        self._handlers[action_type] = handler

    def action(self, action_type: str) -> Callable[[H], H]:
        """`register` as a decorator."""

        def decorate(handler: H) -> H:
            self.register(action_type, handler)
            return handler

        return decorate

    async def run(self, action: Mapping[str, Any], event: Event) -> None:
        """Run one action.

        Raises:
            UnknownActionError: nobody registered its type.
            Exception: whatever the handler raises.
        """
        handler = self._handlers.get(str(action.get("type")))
        if handler is None:
            raise UnknownActionError(f"no handler for the action type {action.get('type')!r}")
        if inspect.iscoroutinefunction(handler):
            await handler(event, action)
            return
        result = await asyncio.to_thread(handler, event, action)
        if inspect.isawaitable(result):
            await result


def _object(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def load_modules(names: Iterable[str], actions: Actions) -> None:
    """Import each module and call its `register(actions)`.

    Raises:
        InvalidSettingsError: names every module that cannot be used, and why.
    """
    faults = list[str]()
    for name in names:
        try:
            import_module(name).register(actions)
        except Exception as error:
            faults.append(f"ACTIONS: module {name}: {error or type(error).__name__}")
    if faults:
        raise InvalidSettingsError("\n".join(faults))


class Runner:
    """Runs the actions of a message in their order, and counts what became of them. Never raises."""

    def __init__(
        self,
        actions: Actions,
        book: CounterBook,
        *,
        product_id: int,
        instance_id: str,
        timeout_seconds: float = 30,
    ) -> None:
        self._actions = actions
        self._book = book
        self._product_id, self._instance_id = product_id, instance_id
        self._timeout_seconds = timeout_seconds
        self._said = Throttle(60)
        self._outcomes: dict[Delivery, list[Outcome]] = {}

    async def work(self, delivery: Delivery) -> None:
        """All actions of one message; subscriptions in their order, actions in theirs."""
        payload, payload_base64 = events.content(delivery.message.payload)
        identity = _identity(delivery)
        outcomes = self._outcomes[delivery] = []
        for route in delivery.routes:
            event = self._event(delivery, route, payload, payload_base64, identity)
            outcomes.append(await self._run_route(route, event, delivery.routing))

    def settled(self, delivery: Delivery) -> None:
        """Count a message whose work is done."""
        outcomes = self._outcomes.pop(delivery, None)
        if outcomes is None:
            outcomes = [Outcome(subscription_id=route.subscription_id) for route in delivery.routes]
        received_at = delivery.message.received_at
        seconds = max(0.0, (datetime.now(UTC) - received_at).total_seconds())
        self._book.settled(outcomes, received_at=received_at, seconds=seconds)

    def _event(
        self, delivery: Delivery, route: Route, payload: object, payload_base64: str | None, identity: str
    ) -> Event:
        message = delivery.message
        return Event(
            product_id=self._product_id,
            instance_id=self._instance_id,
            subscription=route.name,
            topic=message.topic,
            payload=payload,
            payload_base64=payload_base64,
            qos=message.qos,
            retain=message.retain,
            received_at=message.received_at,
            message_id=identity,
            revision=delivery.routing.revision,
        )

    async def _run_route(self, route: Route, event: Event, routing: Routing) -> Outcome:
        executed = failed = 0
        for action in route.actions:
            if not holds(_object(action.get("conditions")), event.payload):
                continue
            if await self._run(action, event, routing):
                executed += 1
            else:
                failed += 1
        return Outcome(subscription_id=route.subscription_id, executed=executed, failed=failed)

    async def _run(self, action: Mapping[str, Any], event: Event, routing: Routing) -> bool:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                config = rendered(action, event, routing.variables, routing.secrets)
                await self._actions.run({**action, "config": config}, event)
        except Exception as error:
            self._report(action, event, error)
            return False
        return True

    def _report(self, action: Mapping[str, Any], event: Event, error: Exception) -> None:
        action_type = str(action.get("type"))
        key = f"{action_type} {type(error).__name__}"
        if not self._said.allows(key, asyncio.get_running_loop().time()):
            return
        timed_out = isinstance(error, TimeoutError)
        reason = f"took longer than {self._timeout_seconds:g} s" if timed_out else str(error)
        log.warning(
            "action failed; the same is not said again for a minute",
            action_type=action_type,
            subscription=event.subscription,
            error=reason or type(error).__name__,
        )


def _identity(delivery: Delivery) -> str:
    message = delivery.message
    return events.message_id(delivery.client_id, message.mid, message.topic, message.payload)
