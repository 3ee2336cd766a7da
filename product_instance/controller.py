"""The task that brings the instance to the wanted configuration, and keeps it connected."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from mqtt_shared.logs import get_logger

from .core.backoff import Backoff
from .core.configuration import Configuration, RejectedError, compare, words
from .core.convergence import Apply, Reconnect, Restore, Situation, Wait, decide

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from random import Random

    from mqtt_shared.messages import Rejection
    from mqtt_shared.refusals import Refusal

    from .session import Session

__all__ = ["Controller"]

log = get_logger(__name__)


class Controller:
    """Level-triggered: told the newest configuration and what happened to the connection, it does one step
    at a time until both are as they should be.
    """

    def __init__(
        self,
        session: Session,
        *,
        random: Random,
        on_applied: Callable[[Configuration], None],
        on_change: Callable[[], None],
    ) -> None:
        self.applied: Configuration | None = None
        self.connection_error: str | None = None
        self._session = session
        self._on_applied, self._on_change = on_applied, on_change
        self._wanted: Configuration | None = None
        self._refused: Rejection | None = None
        self._unreadable: Rejection | None = None
        self._apply_backoff, self._restore_backoff = Backoff(random), Backoff(random)
        self._apply_due: float | None = None
        self._restore_due: float | None = None
        self._reconnect_requested = False
        self._attempt: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()

    @property
    def rejected(self) -> Rejection | None:
        """What is refused at present, and why."""
        return self._unreadable or self._refused

    @property
    def knows_a_snapshot(self) -> bool:
        """Is there anything to run on, applied or still to be tried?"""
        return self.applied is not None or self._wanted is not None

    # What happens

    def adopt(self, configuration: Configuration) -> None:
        """Stand on a configuration that needs no proof: the last known good, or the fallback."""
        self.applied = configuration
        self._session.remember(configuration)
        if configuration.target.broker is not None:
            self._restore_due = self._now()
        self._changed()

    def offer(self, configuration: Configuration) -> None:
        """A snapshot arrived, whatever its age."""
        self._unreadable = None
        standing = compare(self._wanted or self.applied, configuration)
        if standing in ("older", "same"):
            self._on_change()
            return
        log.info(
            "configuration received",
            revision=configuration.revision,
            applied_revision=self.applied.revision if self.applied else None,
            standing=standing,
        )
        self._wanted = configuration
        self._apply_due = self._now()
        self._apply_backoff.reset()
        if self._attempt and self._session.is_trying:
            # What is being tried is out of date, and nothing that works has been touched yet.
            self._attempt.cancel()
        self._changed()

    def reject(self, error: RejectedError) -> None:
        """A snapshot arrived that cannot be used at all."""
        if self._unreadable != error.rejection:
            log.warning("configuration rejected", revision=error.revision, reason=error.reason)
        self._unreadable = error.rejection
        self._on_change()

    def lost(self, refusal: Refusal) -> None:
        """The connection ended."""
        log.warning("connection to the broker lost", reason=str(refusal))
        self._plan_restore(str(refusal), fatal=False)
        self._changed()

    def request_reconnect(self) -> str | None:
        """Make a new connection soon; the reason when there is nothing to connect to."""
        if self.applied is None or self.applied.target.broker is None:
            return "there is no broker to connect to: no configuration is applied"
        if self._session.is_connected:
            self._reconnect_requested = True
        else:
            self._restore_due = self._now()
        self._wake.set()
        return None

    # What is done about it

    async def run(self) -> None:
        """Converge for ever."""
        if self._wanted and self.applied and self._wanted.keeps_the_connection_of(self.applied):
            # What the broker delivers again at once may be what the last run died of. With another connection
            # the applied one goes first: its broker may hold messages for us.
            self._restore_due = None
        while True:
            # Cleared before looking: what happens after it wakes the next turn.
            self._wake.clear()
            match decide(self._situation(), self._now()):
                case Apply():
                    await self._try(self._apply)
                case Restore():
                    await self._try(self._restore)
                case Reconnect():
                    await self._try(self._reconnect)
                case Wait(seconds):
                    await self._sleep(seconds)

    async def _sleep(self, seconds: float | None) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _try(self, step: Callable[[], Coroutine[None, None, None]]) -> None:
        """Run one step as a task of its own, which `offer` may cancel."""
        self._attempt = asyncio.get_running_loop().create_task(step(), name="attempt")
        try:
            await asyncio.wait([self._attempt])
        finally:
            attempt, self._attempt = self._attempt, None
            if attempt.cancel():
                # We are being cancelled: the step must have ended before anybody closes the session.
                await asyncio.wait([attempt])
        if not attempt.cancelled():
            attempt.result()
        self._changed()

    def _situation(self) -> Situation:
        return Situation(
            apply_due=self._apply_due,
            restore_due=self._restore_due,
            reconnect_requested=self._reconnect_requested,
            connected=self._session.is_connected,
        )

    async def _apply(self) -> None:
        wanted = self._wanted
        assert wanted is not None
        try:
            await self._session.apply(wanted)
        except RejectedError as error:
            self._refuse(wanted, error)
            return
        self._stands(wanted)

    def _refuse(self, wanted: Configuration, error: RejectedError) -> None:
        rejection = RejectedError(error.reason, revision=wanted.revision or 0).rejection
        if self._refused != rejection:
            log.warning("configuration rejected", revision=wanted.revision, reason=error.reason)
        self._refused = rejection
        if wanted is self._wanted:
            self._apply_due = self._now() + self._apply_backoff.failed(self._now(), fatal=error.fatal)
        if self._session.is_connected:
            return
        if self.applied is None:
            self.connection_error = words(error.reason)
        elif self.applied.target.broker and self._restore_due is None:
            self._restore_due = self._now()

    def _stands(self, configuration: Configuration) -> None:
        """It works: from here on it is the applied one."""
        self.applied, self._refused = configuration, None
        if self._wanted is configuration:
            self._apply_due = self._wanted = None
        self._connected()
        log.info(
            "configuration applied",
            source=configuration.source,
            revision=configuration.revision,
            client_id=self._session.client_id,
            subscriptions=len(configuration.target.routes),
        )
        self._on_applied(configuration)

    def _connected(self) -> None:
        self._restore_due = self.connection_error = None
        self._restore_backoff.succeeded(self._now())
        applied = self.applied
        if applied and applied.target.broker and not self._session.is_connected:
            # Lost again before we came to look.
            self._plan_restore("the connection ended at once", fatal=False)

    async def _restore(self) -> None:
        applied = self.applied
        assert applied is not None
        try:
            await self._session.apply(applied)
        except RejectedError as error:
            if self.connection_error != words(error.reason):
                log.warning("cannot connect to the broker; trying again", reason=error.reason)
            self._plan_restore(error.reason, fatal=error.fatal)
            return
        log.info("connected to the broker", client_id=self._session.client_id, source=applied.source)
        self._connected()

    async def _reconnect(self) -> None:
        self._reconnect_requested = False
        try:
            await self._session.reconnect()
        except RejectedError as error:
            log.warning("cannot reconnect; the connection stays", reason=error.reason)
        else:
            log.info("reconnected on command", client_id=self._session.client_id)
        if not self._session.is_connected and self._restore_due is None:
            self._restore_due = self._now()

    def _plan_restore(self, reason: str, *, fatal: bool) -> None:
        self.connection_error = words(reason)
        self._restore_due = self._now() + self._restore_backoff.failed(self._now(), fatal=fatal)

    def _changed(self) -> None:
        self._wake.set()
        self._on_change()

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
