"""An instance for a program without an event loop."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any, Self

from .instance import ProductInstance

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from mqtt_shared.messages import Heartbeat, Subscription

    from .actions import Actions
    from .settings import InstanceSettings

__all__ = ["ThreadedInstance"]


class ThreadedInstance:
    """Runs a `ProductInstance` in a thread of its own; every method may be called from any thread.

        with ThreadedInstance(settings, actions=actions) as instance:
            instance.wait()

    Raises:
        StateInUseError, InvalidSettingsError: as `ProductInstance` does, when the block is entered.
    """

    def __init__(
        self,
        settings: InstanceSettings,
        *,
        actions: Actions | None = None,
        subscriptions: Sequence[Subscription] = (),
    ) -> None:
        self._settings, self._actions, self._subscriptions = settings, actions, subscriptions
        self._thread = threading.Thread(target=self._run, name="product-instance", daemon=True)
        self._started = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._instance: ProductInstance | None = None
        self._error: BaseException | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        self._started.wait()
        if self._instance is None:
            self.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
        self._thread.join()
        if error is None:
            self.wait()

    def stop(self) -> None:
        """Have the instance finish what is in flight and end; returns at once."""
        if self._loop is not None and self._instance is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._instance.stop)

    def wait(self, timeout_seconds: float | None = None) -> bool:
        """Wait until the instance has ended; false: it still runs.

        Raises:
            Exception: what the instance ended of, if not of `stop`.
        """
        self._thread.join(timeout_seconds)
        if self._thread.is_alive():
            return False
        error, self._error = self._error, None
        if error is not None:
            raise error
        return True

    def publish(self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False) -> None:
        """Publish on the connection to the product's broker, and wait for its answer.

        Raises:
            ConnectionLostError: there is none, or it ended before the broker answered.
        """
        loop, instance = self._running()
        asyncio.run_coroutine_threadsafe(
            instance.publish(topic, payload, qos=qos, retain=retain), loop
        ).result()

    def heartbeat(self) -> Heartbeat:
        """The state of the instance, as it is told."""
        loop, instance = self._running()
        return asyncio.run_coroutine_threadsafe(_heartbeat(instance), loop).result()

    def _running(self) -> tuple[asyncio.AbstractEventLoop, ProductInstance]:
        if self._loop is None or self._instance is None or not self._thread.is_alive():
            raise RuntimeError("the instance does not run")
        return self._loop, self._instance

    def _run(self) -> None:
        try:
            asyncio.run(self._live())
        except BaseException as error:
            self._error = error
        finally:
            self._started.set()

    async def _live(self) -> None:
        self._loop = asyncio.get_running_loop()
        async with ProductInstance(
            self._settings, actions=self._actions, subscriptions=self._subscriptions
        ) as instance:
            self._instance = instance
            self._started.set()
            await instance.run()


async def _heartbeat(instance: ProductInstance) -> Any:
    return instance.heartbeat()
