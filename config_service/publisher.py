"""NATS: snapshots into the bucket, commands to instances, status messages and heartbeats.

The bucket always ends with what PostgreSQL holds, whoever publishes. A publisher reads the sequence of the
key, then the rows, then puts the snapshot on condition that the sequence is still the same. Whatever stood
there was made of rows that were read earlier, so an older revision can never replace a newer one.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from nats.errors import Error as NatsError
from nats.js.api import KeyValueConfig, StorageType
from nats.js.errors import APIError, NotFoundError, ServiceUnavailableError

from mqtt_shared import bus, messages
from mqtt_shared.logs import get_logger

from .core import snapshots
from .core.errors import UnavailableError
from .core.publication import Publication, Sealed
from .marks import Marks
from .sealer import seal_rows
from .store import MovedError
from .vault import WrongKeyError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from mqtt_shared.subjects import Subjects

    from .background import Background
    from .store import Store
    from .vault import Vault

    Heard = Callable[[int, bytes], None]

__all__ = ["BucketState", "Link", "Publisher", "why_silent"]

log = get_logger(__name__)

_WRONG_LAST_SEQUENCE = 10071
_STREAM_NAME_IN_USE = 10058
_ACK_SECONDS = 2.0
_ATTEMPTS = 20
# A message on a key's subject is heard before the stream has stored it.
_STORED_SECONDS = 0.2
_AT_ONCE = 16
# Of the event loop: our task hands the snapshot to nats-py, whose task writes it to the socket.
_TURNS = 2
# NATS counts the headers of a message too.
_HEADER_BYTES = 256
_USUAL_MAX_PAYLOAD = 1024 * 1024


class BucketState(Struct, frozen=True):
    """What tells a bucket that was emptied or made anew from the one of before."""

    created: datetime | None
    keys: int


class Link:
    """The connection to NATS. It comes up in the background: all but commands work without."""

    def __init__(self, url: str, subjects: Subjects, background: Background) -> None:
        self.subjects = subjects
        self.back = asyncio.Event()
        """Set whenever the connection is there anew."""
        self._url = url
        self._background = background
        self._client: Any = None
        self._waiting = dict[int, set[asyncio.Event]]()
        self._heard: dict[str, Heard] = {}
        self._on_back: Callable[[], None] = lambda: None

    def start(self, heard: Mapping[str, Heard], on_back: Callable[[], None]) -> None:
        """Connect.

        heard: called with product id and payload for each message on these subjects, whose last token is
        the product id. on_back: called whenever the connection is there anew; messages may have been missed.
        """
        self._heard = dict(heard)
        self._on_back = on_back
        self._background.start("nats-connect", self._connect())

    async def _connect(self) -> None:
        async def reconnected() -> None:
            self.back.set()
            self._on_back()

        client: Any = await bus.connect(self._url, "config-service", on_reconnected=reconnected)
        self._client = client
        for subject, heard in self._heard.items():
            await client.subscribe(subject, cb=functools.partial(_hear, heard))
        self.back.set()
        self._on_back()

    async def close(self) -> None:
        """Send what is still to be sent, then disconnect."""
        if self._client is None:
            return
        try:
            await asyncio.wait_for(self._client.flush(1), 1)
        except (NatsError, TimeoutError):
            log.debug("NATS is away at the end")
        await self._client.close()

    @property
    def is_up(self) -> bool:
        """Is the server there now?"""
        return self._client is not None and bool(self._client.is_connected)

    @property
    def client(self) -> Any:
        """The connection (nats-py is partly untyped).

        Raises:
            UnavailableError: the server is away.
        """
        if not self.is_up:
            raise UnavailableError("NATS")
        return self._client

    @property
    def max_payload(self) -> int:
        """What the server takes in one message, in bytes; its default until it was seen."""
        return self._client.max_payload if self._client else _USUAL_MAX_PAYLOAD

    async def publish(self, subject: str, payload: bytes) -> None:
        """Send one message and see it arrive at the server.

        Raises:
            UnavailableError: the server is away.
        """
        try:
            await self.client.publish(subject, payload)
            await self.client.flush(_ACK_SECONDS)
        except (NatsError, TimeoutError) as error:
            raise UnavailableError("NATS") from error

    async def tell(self, product: messages.ProductChanged) -> None:
        """Let all replicas know, this one included, which hears itself; without NATS, at least this one."""
        subject, payload = self.subjects.product(product.product_id), messages.encode(product)
        try:
            await self.client.publish(subject, payload)
        except (UnavailableError, NatsError):
            if heard := self._heard.get(self.subjects.product("*")):
                heard(product.product_id, payload)

    async def command(
        self, product_id: int, command: messages.Command, expected: set[str], seconds: float
    ) -> dict[str, messages.CommandReply]:
        """Replies by instance, collected for `seconds`, or until all `expected` instances have answered.

        Raises:
            UnavailableError: the server is away.
        """
        replies = dict[str, messages.CommandReply]()
        try:
            inbox = self.client.new_inbox()
            subscription = await self.client.subscribe(inbox)
        except NatsError as error:
            raise UnavailableError("NATS") from error
        try:
            await self.client.publish(
                self.subjects.command(product_id), messages.encode(command), reply=inbox
            )
            async with asyncio.timeout(seconds):
                await _collect(subscription, replies, expected)
        except TimeoutError:
            pass
        except NatsError as error:
            raise UnavailableError("NATS") from error
        finally:
            await _unsubscribed(subscription)
        return replies

    @contextmanager
    def watch(self, product_id: int) -> Generator[asyncio.Event]:
        """An event that is set whenever the status of the product changes."""
        changed = asyncio.Event()
        watching = self._waiting.setdefault(product_id, set())
        watching.add(changed)
        try:
            yield changed
        finally:
            watching.discard(changed)
            if not watching:
                self._waiting.pop(product_id, None)

    def notify(self, product_id: int) -> None:
        """Wake those who watch the product."""
        for changed in self._waiting.get(product_id, ()):
            changed.set()


async def _hear(heard: Heard, message: Any) -> None:
    if (product_id := _last_number(message.subject)) is not None:
        heard(product_id, bytes(message.data))


async def _collect(subscription: Any, replies: dict[str, messages.CommandReply], expected: set[str]) -> None:
    while not expected or not expected <= replies.keys():
        message: Any = await subscription.next_msg(timeout=None)
        if message.headers and message.headers.get("Status") == "503":
            return  # nobody listens
        try:
            reply = messages.decode(message.data, messages.CommandReply)
        except messages.MalformedMessageError as error:
            log.warning("an instance answered a command with something else", error=str(error))
            continue
        replies[reply.instance_id] = reply


async def _unsubscribed(subscription: Any) -> None:
    try:
        await subscription.unsubscribe()
    except NatsError:
        log.debug("the connection is gone, and the subscription with it")


def _last_number(subject: str) -> int | None:
    token = subject.rpartition(".")[2]
    return int(token) if token.isascii() and token.isdigit() and len(token) < 11 else None


class _TooLargeError(Exception):
    """NATS would close the connection. Changes are refused before, but its limit may have come down."""


class _Found(Struct, frozen=True):
    """The last message of a key; sequence 0 when there is none."""

    sequence: int
    payload: bytes = b""


class Publisher:
    """Puts snapshots into the bucket. Products are published at the same time, each by one task."""

    def __init__(
        self,
        link: Link,
        store: Store,
        vault: Vault,
        background: Background,
        *,
        replicas: int = 1,
        on_change: Callable[[int], None],
    ) -> None:
        self._link = link
        self._store = store
        self._vault = vault
        self._background = background
        self._replicas = replicas
        self._waiting = dict[int, Sealed | None]()
        self._running = set[int]()
        # What this process last put or saw right: sequence and revision. A newer revision may be put on top
        # of it without looking, since the server refuses when anybody else was there meanwhile.
        self._known = dict[int, tuple[int, int]]()
        self._sent = dict[int, bytes]()
        self._stuck = set[int]()
        self._at_once = asyncio.Semaphore(_AT_ONCE)
        self._on_change = on_change
        self._marks = Marks(store, background, on_marked=self._marked)

    @property
    def most_bytes(self) -> int:
        """What fits into the bucket of one product."""
        return self._link.max_payload - _HEADER_BYTES

    def wake(self, product_id: int, ready: Sealed | None = None) -> None:
        """Publish the product soon; `ready` is what its commit has just made of it."""
        self._waiting[product_id] = ready
        self._on_change(product_id)
        if product_id not in self._running:
            self._running.add(product_id)
            self._background.start(f"publish-{product_id}", self._drain(product_id))

    async def send(self, product_id: int, ready: Sealed | None) -> None:
        """As `wake`; if NATS can have it at once, it has it before the answer to the client is made."""
        self.wake(product_id, ready)
        for _ in range(_TURNS):
            await asyncio.sleep(0)

    def heard(self, product_id: int, payload: bytes) -> None:
        """Somebody wrote the key: look whether it is right, unless it was this process."""
        self._on_change(product_id)
        if self._sent.get(product_id) != _hash(payload):
            asyncio.get_running_loop().call_later(_STORED_SECONDS, self._look, product_id)

    def _look(self, product_id: int) -> None:
        if self._link.is_up and product_id not in self._waiting and not self._background.died.done():
            self.wake(product_id)

    async def _drain(self, product_id: int) -> None:
        try:
            while product_id in self._waiting:
                ready = self._waiting.pop(product_id)
                async with self._at_once:
                    await self.publish(product_id, ready)
        finally:
            self._running.discard(product_id)

    async def publish(self, product_id: int, ready: Sealed | None = None, *, again: bool = False) -> bool:
        """Make the key right, and mark it soon. False when a server is away: the reconciler tries again.

        again: put it also when it is right, so that every instance gets it once more.
        """
        try:
            await self._publish(product_id, ready, again=again)
        except (_TooLargeError, WrongKeyError) as error:
            # Said once: the reconciler comes back to it every few seconds.
            if product_id not in self._stuck:
                self._stuck.add(product_id)
                log.error("not published", product_id=product_id, error=str(error))
            return False
        except (UnavailableError, MovedError, NatsError, TimeoutError) as error:
            self._known.pop(product_id, None)
            log.debug("not published yet", product_id=product_id, error=str(error) or repr(error))
            return False
        self._stuck.discard(product_id)
        return True

    async def _publish(self, product_id: int, ready: Sealed | None, *, again: bool) -> None:
        known = self._known.get(product_id)
        if ready and known and ready.revision > known[1]:
            try:
                return await self._put(ready, known[0])
            except MovedError:
                self._known.pop(product_id, None)
        for _ in range(_ATTEMPTS):
            try:
                return await self._repair(product_id, again=again)
            except MovedError:
                continue
        raise MovedError

    async def _repair(self, product_id: int, *, again: bool) -> None:
        # In this order: see the top of the module.
        found = await self._last(product_id)
        rows = await self._store.one("read_publication", Publication, product_id)
        sealed = seal_rows(self._vault, product_id, rows) if rows else None
        if sealed is None:
            return
        if not again and _is_right(found.payload, sealed):
            self._published(sealed, found.sequence)
        else:
            await self._put(sealed, found.sequence)

    async def _put(self, sealed: Sealed, expected: int) -> None:
        if len(sealed.payload) > self.most_bytes:
            msg = f"the snapshot has {len(sealed.payload):,} bytes, NATS takes {self.most_bytes:,}"
            raise _TooLargeError(msg)
        self._sent[sealed.product_id] = _hash(sealed.payload)
        try:
            ack = await self._jetstream.publish(
                self._link.subjects.config(sealed.product_id),
                sealed.payload,
                timeout=_ACK_SECONDS,
                headers={"Nats-Expected-Last-Subject-Sequence": str(expected)},
            )
        except APIError as error:
            if error.err_code == _WRONG_LAST_SEQUENCE:
                raise MovedError from error
            raise
        self._published(sealed, ack.seq)

    def _published(self, sealed: Sealed, sequence: int) -> None:
        self._known[sealed.product_id] = (sequence, sealed.revision)
        self._marks.note(sealed)

    def _marked(self, product_id: int) -> None:
        self._link.notify(product_id)
        self._on_change(product_id)

    async def _last(self, product_id: int) -> _Found:
        subjects = self._link.subjects
        try:
            message = await self._jetstream.get_last_msg(subjects.bucket_stream, subjects.config(product_id))
        except NotFoundError:
            return _Found(0)
        return _Found(message.seq or 0, message.data or b"")

    async def ensure_bucket(self) -> None:
        """Create the bucket where it is missing.

        Raises:
            NatsError, UnavailableError: JetStream is not there.
        """
        config = KeyValueConfig(
            bucket=self._link.subjects.bucket,
            description="The newest configuration snapshot of each product, by product id",
            history=1,
            storage=StorageType.FILE,
            replicas=self._replicas,
            direct=True,
        )
        try:
            await self._jetstream.create_key_value(config)
        except APIError as error:
            # It is there with other settings, which an operator may have chosen.
            if error.err_code != _STREAM_NAME_IN_USE:
                raise

    async def bucket_state(self) -> BucketState | None:
        """None when there is no bucket.

        Raises:
            NatsError, UnavailableError: JetStream is not there.
        """
        try:
            info = await self._jetstream.stream_info(self._link.subjects.bucket_stream)
        except NotFoundError:
            return None
        return BucketState(info.created, info.state.messages)

    @property
    def _jetstream(self) -> Any:
        return self._link.client.jetstream(timeout=_ACK_SECONDS)


def why_silent(error: Exception) -> str:
    """Why NATS cannot be used, without names of hosts or users."""
    if isinstance(error, UnavailableError):
        return "there is no connection"
    if isinstance(error, TimeoutError):
        return "it does not answer"
    if isinstance(error, ServiceUnavailableError):
        return "JetStream is not there"
    return f"it refuses: {type(error).__name__}"


def _hash(payload: bytes) -> bytes:
    return hashlib.sha256(payload).digest()


def _is_right(found: bytes, sealed: Sealed) -> bool:
    if not found:
        return False
    if sealed.key is None:
        return found == sealed.payload
    return snapshots.is_same(found, sealed.payload, sealed.secrets, sealed.key, sealed.previous_key)
