"""The instance's side of NATS."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from typing import TYPE_CHECKING, Any, cast

from nats.errors import Error as NatsError
from nats.errors import NoRespondersError
from nats.js.errors import NotFoundError

from mqtt_shared import bus
from mqtt_shared.logs import get_logger

from .errors import ActionError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from random import Random

    from nats.aio.client import Client
    from nats.aio.msg import Msg
    from nats.js.api import RawStreamMsg

    from mqtt_shared.subjects import Subjects

__all__ = ["Bus", "Watcher"]

log = get_logger(__name__)

_FLUSH_SECONDS = 2
_ANSWER_SECONDS = 2
_RETRY_SECONDS = 1
# The jitter may halve them: the last get is then 2.5 s after the connect, which is later than config_service
# waits for the stream to acknowledge what it put (2 s).
_CATCH_UP_SECONDS = (1, 4)


class Bus:
    """The connection to NATS, which may be away for as long as it likes."""

    def __init__(self, url: str, name: str) -> None:
        self._url, self._name = url, name
        self._client: Client | None = None
        self._on_connected: list[Callable[[], None]] = []

    def on_connected(self, callback: Callable[[], None]) -> None:
        """Call at the first connection and at each that follows."""
        self._on_connected.append(callback)

    async def connect(self) -> Client:
        """Wait until NATS is there."""
        client = await bus.connect(self._url, self._name, on_reconnected=self._reconnected)
        self._client = client
        await self._reconnected()
        return client

    async def _reconnected(self) -> None:
        for callback in self._on_connected:
            callback()

    @property
    def client(self) -> Client | None:
        """The connection, when it is up."""
        return self._client if self._client is not None and self._client.is_connected else None

    async def publish(self, subject: str, payload: bytes, headers: dict[str, str] | None = None) -> None:
        """Publish, and wait until the server has it.

        Raises:
            ActionError: NATS is away.
        """
        if (client := self.client) is None:
            raise ActionError("NATS is away")
        try:
            await client.publish(subject, payload, headers=headers)
            await client.flush(_FLUSH_SECONDS)
        except (NatsError, OSError, TimeoutError) as error:
            raise ActionError(f"NATS: {error or type(error).__name__}") from error

    async def subscribe(self, subject: str, callback: Callable[[Msg], Awaitable[None]]) -> None:
        """Have each message on `subject` handed over, also after a reconnect."""
        # Its options are only partly typed.
        await cast("Any", self._client).subscribe(subject, cb=callback)

    async def request_last(self, stream: str, subject: str) -> RawStreamMsg | None:
        """The last message on `subject` in a stream; null when there is none, or no such stream.

        Raises:
            NatsError, OSError, TimeoutError: no answer.
        """
        manager = cast("Any", self._client).jsm(timeout=_ANSWER_SECONDS)
        try:
            try:
                return await manager.get_last_msg(stream, subject, direct=True)
            except NoRespondersError:
                # No such stream, or one that does not allow direct gets.
                return await manager.get_last_msg(stream, subject)
        except NotFoundError:
            return None

    async def close(self) -> None:
        """Send what is waiting and disconnect."""
        if self._client is not None:
            await self._client.close()


class Watcher:
    """Has every snapshot of a product that NATS has or gets handed to `on_snapshot`.

    A core subscription to the key's subject brings changes at once, and costs NATS no consumer state. A
    direct get of the last value, at each connect and now and then, brings whatever was missed in between:
    it comes after the subscription, so that nothing falls between the two. NATS hands a message to its
    subscribers first and stores it a moment later, so that a snapshot on its way while we connect is neither
    heard nor got: two more gets follow each connect. What is stored later still, or known only to another
    replica than the one that answers a direct get, a later refresh brings. A key that is missing or deleted
    means "unknown" and changes nothing.
    """

    def __init__(
        self,
        nats: Bus,
        subjects: Subjects,
        product_id: int,
        *,
        random: Random,
        refresh_seconds: float,
        on_snapshot: Callable[[bytes], None],
    ) -> None:
        self._nats = nats
        self._subject, self._stream = subjects.config(product_id), subjects.bucket_stream
        self._random, self._refresh_seconds = random, refresh_seconds
        self._on_snapshot = on_snapshot
        self._again = asyncio.Event()
        self.answered = asyncio.Event()
        """Set once NATS has told what it knows, be it nothing."""
        nats.on_connected(self._again.set)

    async def run(self) -> None:
        """Watch for ever, once connected. After a reconnect nats-py subscribes again before we get again."""
        await self._nats.subscribe(self._subject, self._received)
        while True:
            self._again.clear()
            await self._refresh()

    async def _refresh(self) -> None:
        """Get at once, soon again and then regularly, until the connection is there anew."""
        pauses = itertools.chain(_CATCH_UP_SECONDS, itertools.repeat(self._refresh_seconds))
        while not self._again.is_set():
            known = await self._get()
            await self._pause(min(next(pauses), self._refresh_seconds) if known else _RETRY_SECONDS)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds * self._random.uniform(0.5, 1.5)):
                await self._again.wait()

    async def _received(self, message: Msg) -> None:
        self._take(message.data, message.headers)

    async def _get(self) -> bool:
        """Get the last value; false when NATS gave no answer."""
        try:
            found = await self._nats.request_last(self._stream, self._subject)
        except (NatsError, OSError, TimeoutError) as error:
            log.debug("no answer from NATS", error=str(error) or type(error).__name__)
            return False
        if found:
            self._take(found.data or b"", cast("dict[str, str] | None", found.headers))
        self.answered.set()
        return True

    def _take(self, data: bytes, headers: dict[str, str] | None) -> None:
        if not data or (headers and "KV-Operation" in headers):
            # A delete or purge marker (NATS ADR-8).
            return
        self._on_snapshot(data)
