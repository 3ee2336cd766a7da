"""The composition root: builds everything, watches it, closes it in reverse order."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from mqtt_shared import tasks
from mqtt_shared.logs import get_logger
from mqtt_shared.readiness import Dependency, Probe, Readiness

from . import http
from .buffer import Buffer
from .clock import Clock
from .consumer import MAX_UNACKNOWLEDGED, Consumer
from .drops import Drops
from .flusher import Flusher
from .metrics import Metrics
from .store import Store
from .sweeper import Sweeper

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Coroutine

    from .settings import CollectorSettings

__all__ = ["Collector", "collector"]

log = get_logger(__name__)

_POSTGRESQL = (
    "Counts and status stand still; no count is lost. Start PostgreSQL, or look at DATABASE_URL and at the "
    "network; the collector goes on by itself."
)
_NATS = (
    "Counts and status stand still; no count is lost. Start NATS with JetStream, or look at NATS_URL and at "
    "the network; the collector goes on by itself."
)


class Collector:
    """A running collector."""

    port = 0
    """Where HTTP listens."""

    def __init__(self, settings: CollectorSettings, store: Store) -> None:
        self._settings = settings
        self._tasks: list[asyncio.Task[None]] = []
        self.metrics = Metrics()
        self.buffer = Buffer(settings.flush_size, MAX_UNACKNOWLEDGED)
        self.metrics.waiting.set_function(lambda: len(self.buffer))
        drops = Drops(self.metrics)
        clock = Clock()
        self.consumer = Consumer(settings, self.buffer, clock, drops, self.metrics)
        self.flusher = Flusher(
            self.buffer, store, self.consumer.publish, self.consumer.acknowledge, drops, self.metrics
        )
        self.sweeper = Sweeper(
            store,
            self.flusher.cache,
            clock,
            self._hearing,
            self.consumer.publish,
            settings.retention,
            self.metrics,
        )

        self._ping = Probe(store.ping)
        self.readiness = Readiness(
            {
                "postgresql": Dependency(self._postgresql, _POSTGRESQL),
                "nats": Dependency(self._nats, _NATS),
            }
        )

    async def _postgresql(self) -> str | None:
        # The probe is the first to notice a frozen server, the others know more of one that refuses.
        return self.down().get("postgresql") or await self._ping.fault()

    async def _nats(self) -> str | None:
        return self.consumer.problem

    def down(self) -> dict[str, str]:
        """What did not work when it was tried last, and why."""
        problems = {
            "postgresql": self.sweeper.problem or self.flusher.problem,
            "nats": self.consumer.problem,
        }
        return {name: problem for name, problem in problems.items() if problem}

    def start(self) -> None:
        """Start the tasks; none of them ever ends by itself."""
        settings = self._settings
        self._spawn("flush", self.flusher.run(settings.flush_interval_seconds))
        self._spawn("sweep", self.sweeper.run(settings.sweep_interval_seconds))
        self._spawn("consume", self.consumer.run(settings.nats_url))
        self._spawn("readiness", self.readiness.run())

    async def wait(self) -> None:
        """Run until a task dies, and raise what it died of: half alive is worse than gone."""
        done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            await task
        raise RuntimeError(f"{sorted(task.get_name() for task in done)} ended")

    async def close(self) -> None:
        """Stop consuming, flush, acknowledge, disconnect. Done twice, it does nothing more."""
        try:
            async with asyncio.timeout(self._settings.shutdown_timeout_seconds):
                await self.consumer.stop()
                await self._flush_rest()
        except TimeoutError:
            log.warning("stopped without a last flush; the stream delivers the rest again")
        finally:
            await self._cancel()
            await self.consumer.close()

    async def _flush_rest(self) -> None:
        while True:
            if not await self.flusher.flush():
                await asyncio.sleep(0.2)
            elif not len(self.buffer):
                return

    async def _cancel(self) -> None:
        # A flush that is cancelled is rolled back, its batch is gone from the buffer, and the stream has it.
        await tasks.end(self._tasks)
        await self._ping.close()

    def _hearing(self) -> bool:
        return self.consumer.hearing and self.flusher.problem is None

    def _spawn(self, name: str, work: Coroutine[None, None, None]) -> None:
        self._tasks.append(asyncio.create_task(work, name=f"status-collector {name}"))


@contextlib.asynccontextmanager
async def collector(settings: CollectorSettings) -> AsyncGenerator[Collector]:
    """A collector that runs while the block does.

    PostgreSQL and NATS may be away: it waits for them and says so on `/readyz`.

    Raises:
        OSError: the HTTP address cannot be listened on.
    """
    async with Store.open(settings.database_url.get_secret_value()) as store:
        running = Collector(settings, store)
        serving = http.serve(settings.http_host, settings.http_port, running.readiness, running.metrics)
        async with serving as running.port:
            running.start()
            try:
                yield running
            finally:
                await running.close()
