"""Running the actions of a message."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from msgspec import Struct, structs

from mqtt_shared.conditions import holds
from mqtt_shared.event import Event
from mqtt_shared.logs import get_logger
from mqtt_shared.outgoing import InvalidActionError, rendered

from .core.configuration import words
from .core.counters import CounterBook, Outcome
from .core.steps import Step, Steps, retry_delay
from .core.throttle import Throttle
from .errors import PermanentActionError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable
    from random import Random

    from mqtt_shared.plan import Route

    from .actions import Actions
    from .deadletters import DeadLetters
    from .pipeline import Delivery, Job, Routing

__all__ = ["Attempts", "Failure", "Runner", "redacted"]

log = get_logger(__name__)

_HURRY_MESSAGES = 8
_HURRY_SECONDS = 3.0
_SLOW_SECONDS = 1.0
_PROBE_SECONDS = 5.0
_NOT_TRIED = "not tried: the actions of the subscription did not end in time, and too many messages waited"


class Failure(Struct, frozen=True, kw_only=True):
    """An action that failed for the last time."""

    step: Step
    error: str
    attempts: int
    seconds: float = 0
    """How long the last attempt took."""


class _Fault(NamedTuple):
    error: str
    permanent: bool


class _Rest:
    """What is left of a coroutine that has run up to its first `await` of something that was not there."""

    def __init__(self, running: Coroutine[Any, Any, None], awaited: Any) -> None:
        self._running, self._awaited = running, awaited

    def __await__(self) -> Generator[Any, Any, None]:
        running, awaited = self._running, self._awaited
        while True:
            try:
                answer = yield awaited
            except BaseException as error:
                go_on = partial(running.throw, error)
            else:
                go_on = partial(running.send, answer)
            try:
                awaited = go_on()
            except StopIteration:
                return


class Attempts:
    """Runs one action, again and again as its settings say. Never raises."""

    def __init__(
        self,
        actions: Actions,
        random: Random,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._actions = actions
        self._pause = pause
        self._random = random
        self._said = Throttle(60)

    async def run(
        self, step: Step, event: Event, routing: Routing, may_wait: Callable[[], bool]
    ) -> Failure | None:
        """Null: it was carried out. `may_wait` tells whether there is time for another attempt."""
        attempts = 0
        while True:
            started = monotonic()
            fault = await self._attempt(step, event, routing)
            if fault is None:
                return None
            attempts += 1
            self._report(step, event, fault)
            if fault.permanent or attempts > step.retries or not may_wait():
                seconds = monotonic() - started
                return Failure(step=step, error=fault.error, attempts=attempts, seconds=seconds)
            await self._pause(retry_delay(step, attempts, self._random))

    async def _attempt(self, step: Step, event: Event, routing: Routing) -> _Fault | None:
        limit: asyncio.Timeout | None = None
        try:
            action = step.action
            if step.has_templates:
                config = rendered(action, event, routing.variables, routing.secrets)
                action = {**action, "config": config}
            running = self._actions.start(step.action_type, action, event)
            # Most handlers that need not wait are done here, without a timer.
            try:
                awaited = running.send(None)
            except StopIteration:
                return None
            async with asyncio.timeout(step.timeout_seconds) as limit:
                await _Rest(running, awaited)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # The handler waited for something that somebody else had cancelled.
            return _Fault("cancelled", permanent=False)
        except TimeoutError as error:
            timed_out = limit is not None and limit.expired()
            said = f"took longer than {step.timeout_seconds:g} s" if timed_out else _words(error)
            return _Fault(redacted(said, routing.secrets.values()), permanent=False)
        except (PermanentActionError, InvalidActionError) as error:
            return _Fault(redacted(_words(error), routing.secrets.values()), permanent=True)
        except SystemExit as error:
            # It would end the host, and the message would come again and end the next one.
            return _Fault(redacted(f"it exits with {error.code}", routing.secrets.values()), permanent=False)
        except Exception as error:
            return _Fault(redacted(_words(error), routing.secrets.values()), permanent=False)
        return None

    def _report(self, step: Step, event: Event, fault: _Fault) -> None:
        key = f"{event.subscription} {step.action_type}"
        if self._said.allows(key, monotonic()):
            log.warning(
                "action failed; the same is not said again for a minute",
                action_type=step.action_type,
                subscription=event.subscription,
                error=fault.error,
            )


def _words(error: Exception) -> str:
    try:
        return str(error) or type(error).__name__
    except Exception:
        # A handler's own class of errors may fail at telling itself.
        return type(error).__name__


def redacted(text: str, secrets: Iterable[str]) -> str:
    """The text without the values of secrets, also where they stand in JSON or in a URL."""
    for secret in sorted((each for each in secrets if each), key=len, reverse=True):
        written = (
            secret,
            json.dumps(secret)[1:-1],
            repr(secret)[1:-1],
            quote(secret),
            quote(secret, safe=""),
        )
        for form in written:
            text = text.replace(form, "***")
    return words(text)


class Runner:
    """Runs the actions of each message in their order, and counts what became of them.

    An action that fails does not keep those after it from running. What failed for the last time goes to the
    dead letters before the message is acknowledged.

    A circuit breaker: when actions of a subscription fail only after a while, and many of its messages wait,
    one of them is tried every few seconds, and the rest go to the dead letters untried.
    """

    def __init__(
        self,
        actions: Actions,
        book: CounterBook,
        dead_letters: DeadLetters,
        *,
        product_id: int,
        instance_id: str,
        random: Random,
        timeout_seconds: float = 30,
    ) -> None:
        self._attempts = Attempts(actions, random)
        self._steps = Steps(timeout_seconds)
        self._book = book
        self._dead_letters = dead_letters
        self._product_id, self._instance_id = product_id, instance_id
        self._probe_at: dict[int, float] = {}
        """Subscriptions whose actions fail slowly, and when one of them is tried again."""

    async def work(self, job: Job) -> Outcome:
        """All actions of one message in one subscription."""
        delivery, route = job.delivery, job.route
        executed, failures = 0, list[Failure]()
        event: Event | None = None
        for step in self._steps.of(route.subscription_id, route.actions):
            if step.conditions and not holds(step.conditions, delivery.content[0]):
                continue
            event = event or self._event(delivery, route)
            failure = await self._run(job, step, event)
            if failure:
                failures.append(failure)
            else:
                executed += 1
        for failure in failures:
            await self._dead_letters.add(job, failure)
        seconds = monotonic() - delivery.received_at
        return Outcome(
            subscription_id=route.subscription_id, executed=executed, failed=len(failures), seconds=seconds
        )

    async def _run(self, job: Job, step: Step, event: Event) -> Failure | None:
        subscription_id = job.route.subscription_id
        probe_at = self._probe_at.get(subscription_id)
        if probe_at is not None and job.holds_up >= _HURRY_MESSAGES:
            now = monotonic()
            if now < probe_at:
                return Failure(step=step, error=_NOT_TRIED, attempts=0)
            self._probe_at[subscription_id] = now + _PROBE_SECONDS
            step = structs.replace(step, timeout_seconds=min(step.timeout_seconds, _PROBE_SECONDS))
        failure = await self._attempts.run(step, event, job.delivery.routing, lambda: _may_wait(job))
        if failure is None:
            self._probe_at.pop(subscription_id, None)
        elif failure.seconds >= _SLOW_SECONDS:
            self._probe_at[subscription_id] = monotonic() + _PROBE_SECONDS
        return failure

    def settled(self, delivery: Delivery) -> None:
        """Count a message whose work is done."""
        received_at = delivery.message.received_at
        seconds = monotonic() - delivery.received_at
        self._book.settled(delivery.outcomes, received_at=received_at, seconds=seconds)

    def _event(self, delivery: Delivery, route: Route) -> Event:
        message = delivery.message
        payload, payload_base64 = delivery.content
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
            message_id=delivery.identity,
            revision=delivery.routing.revision,
        )


def _may_wait(job: Job) -> bool:
    """Failures give way while they hold up others: the broker sends only so many messages unacknowledged, and
    those that wait for a service that is down would be all of them.
    """
    waited = monotonic() - job.delivery.received_at
    return job.holds_up < _HURRY_MESSAGES or waited < _HURRY_SECONDS
