"""The action types that an instance can run."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

from mqtt_shared.settings import InvalidSettingsError

from .errors import UnknownActionError
from .threads import Threads

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping

    from mqtt_shared.event import Event

    Handler = Callable[[Event, Mapping[str, Any]], Awaitable[None] | None]
    AsyncHandler = Callable[[Event, Mapping[str, Any]], Coroutine[Any, Any, None]]
    H = TypeVar("H", bound=Handler)

__all__ = ["Actions", "load_modules"]


class Actions:
    """A register of handlers by action type."""

    def __init__(self) -> None:
        self._handlers: dict[str, Handler] = {}
        self._started: dict[str, AsyncHandler] = {}

    @property
    def types(self) -> list[str]:
        """Sorted names."""
        return sorted(self._handlers)

    def register(self, action_type: str, handler: Handler) -> None:
        """Run `handler(event, action)` for actions of this type.

        `action` is the action as it was configured, with the templates in its `config` rendered. A coroutine
        function runs in the event loop; any other function may block and runs in a thread, at most 32 at a
        time for each type. An exception is a failed attempt, `PermanentActionError` the last one. A later
        registration takes the place of an earlier one.
        """
        self._handlers[action_type] = handler
        self._started.pop(action_type, None)

    def include(self, other: Actions) -> None:
        """Register all that `other` has now."""
        for action_type, handler in other._handlers.items():
            self.register(action_type, handler)

    def action(self, action_type: str) -> Callable[[H], H]:
        """`register` as a decorator."""

        def decorate(handler: H) -> H:
            self.register(action_type, handler)
            return handler

        return decorate

    def start(self, action_type: str, action: Mapping[str, Any], event: Event) -> Coroutine[Any, Any, None]:
        """The coroutine that runs one action; it raises whatever the handler raises.

        Raises:
            UnknownActionError: nobody registered its type.
        """
        started = self._started.get(action_type)
        if started is None:
            handler = self._handlers.get(action_type)
            if handler is None:
                raise UnknownActionError(f"no handler for the action type {action_type!r}: look at ACTIONS")
            started = self._started[action_type] = _as_coroutine(action_type, handler)
        return started(event, action)


def _as_coroutine(action_type: str, handler: Handler) -> AsyncHandler:
    if inspect.iscoroutinefunction(handler):
        return handler
    threads = Threads(f"action {action_type}")

    async def run(event: Event, action: Mapping[str, Any]) -> None:
        result = await threads.run(handler, event, action)
        if inspect.isawaitable(result):
            await result

    return run


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
