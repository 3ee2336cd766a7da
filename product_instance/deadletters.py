"""The dead-letter stream: messages whose action failed for the last time."""

from __future__ import annotations

import asyncio
from base64 import b64decode, b64encode
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from msgspec import Struct, structs
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError
from nats.js.api import DiscardPolicy, StorageType, StreamConfig
from nats.js.errors import APIError, NoStreamResponseError, NotFoundError

from mqtt_shared.logs import get_logger
from mqtt_shared.messages import DeadLetter, MalformedMessageError, decode, encode

from .core.throttle import Throttle
from .errors import InstanceError, PayloadGoneError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mqtt_shared.subjects import Subjects

    from .pipeline import Job
    from .runner import Failure
    from .watcher import Bus

__all__ = ["DeadLetters", "StoredLetter"]

log = get_logger(__name__)

_STORE_SECONDS = 3.0
_RETRY_SECONDS = 1.0
_MAX_AGE_SECONDS = 7 * 24 * 3600
_MAX_BYTES = 1024**3
_NAME_IN_USE = 10058
_DELETE_FAILED = 10057
_HEADER_BYTES = 4096
"""More than the headers of a message take, also when it is read: NATS counts them too."""
_LEAST_ROOM_BYTES = 1024
_FAULTS = (NatsError, OSError, TimeoutError)


class StoredLetter(Struct, frozen=True, kw_only=True):
    """A dead letter and its place in the stream."""

    sequence: int
    letter: DeadLetter


class DeadLetters:
    """Writes and reads the dead letters of one product."""

    def __init__(self, nats: Bus, subjects: Subjects, product_id: int, instance_id: str = "") -> None:
        self._nats, self._subjects = nats, subjects
        self._product_id, self._instance_id = product_id, instance_id
        self._said = Throttle(60)
        self._connected = asyncio.Event()
        nats.on_connected(self._connected.set)

    async def add(self, job: Job, failure: Failure) -> None:
        """Have the stream keep a failed action. Waits while NATS is away: nothing is dropped."""
        message, route = job.delivery.message, job.route
        await self.put(
            DeadLetter(
                product_id=self._product_id,
                instance_id=self._instance_id,
                subscription_id=route.subscription_id,
                subscription=route.name,
                action=failure.step.index,
                action_type=failure.step.action_type,
                error=failure.error,
                attempts=failure.attempts,
                topic=message.topic,
                payload_base64=b64encode(message.payload).decode(),
                qos=message.qos,
                retain=message.retain,
                message_id=job.delivery.identity,
                received_at=message.received_at,
                failed_at=datetime.now(UTC),
                revision=job.delivery.routing.revision,
            )
        )

    async def put(self, letter: DeadLetter) -> None:
        """Have the stream keep the letter. Waits while NATS is away."""
        while True:
            self._connected.clear()
            try:
                await self._store(letter)
            except _FAULTS as error:
                self._say_that_it_waits(error)
                await self._pause()
            else:
                return

    async def _store(self, letter: DeadLetter) -> None:
        if self._nats.client is None:
            raise OSError("NATS is away")
        room = max(_LEAST_ROOM_BYTES, self._nats.client.max_payload - _HEADER_BYTES)
        about = (letter.subscription_id, letter.action, letter.message_id, letter.failed_at.isoformat())
        name, data = ".".join(map(str, about)), encode(letter)
        if len(data) > room:
            data = encode(await self._in_pieces(letter, name, room))
        await self._publish(self._subjects.dead_letter(letter.product_id, letter.subscription_id), data, name)

    async def _in_pieces(self, letter: DeadLetter, name: str, room: int) -> DeadLetter:
        """The letter without its payload, which the stream has then."""
        payload = b64decode(letter.payload_base64)
        subject = self._subjects.dead_letter_part(letter.product_id, letter.subscription_id)
        parts = [
            await self._publish(subject, payload[start : start + room], f"{name}.{start}")
            for start in range(0, len(payload), room)
        ]
        return structs.replace(letter, payload_base64="", payload_parts=parts)

    async def _publish(self, subject: str, data: bytes, name: str) -> int:
        """The place in the stream, which takes the same `name` once: an answer may get lost."""
        js = cast("Any", self._nats.client).jetstream()
        given: dict[str, Any] = {"timeout": _STORE_SECONDS, "headers": {"Nats-Msg-Id": name}}
        try:
            answer = await js.publish(subject, data, **given)
        except (NoStreamResponseError, NoRespondersError, TimeoutError):
            # Where somebody listens to these subjects, a missing stream shows as a time-out.
            await self._make_stream(js)
            answer = await js.publish(subject, data, **given)
        return answer.seq

    async def _make_stream(self, js: Any) -> None:
        wanted = StreamConfig(
            name=self._subjects.dead_letter_stream,
            subjects=[self._subjects.dead_letter("*", "*"), self._subjects.dead_letter_part("*", "*")],
            storage=StorageType.FILE,
            discard=DiscardPolicy.OLD,
            max_age=_MAX_AGE_SECONDS,
            max_bytes=_MAX_BYTES,
            allow_direct=True,
        )
        try:
            await js.add_stream(wanted)
        except APIError as error:
            if error.err_code != _NAME_IN_USE:
                raise
            await self._add_subjects(js, wanted)

    async def _add_subjects(self, js: Any, wanted: StreamConfig) -> None:
        """Somebody else made the stream: its limits stay as they are."""
        found = (await js.stream_info(wanted.name)).config
        subjects = {*(found.subjects or ()), *(wanted.subjects or ())}
        await js.update_stream(found.evolve(subjects=sorted(subjects)))

    def _say_that_it_waits(self, error: BaseException) -> None:
        if self._said.allows("waits", asyncio.get_running_loop().time()):
            log.error(
                "a dead letter cannot be stored; its message stays unacknowledged until it can",
                error=str(error) or type(error).__name__,
            )

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(_RETRY_SECONDS):
                await self._connected.wait()
        except TimeoutError:
            pass

    # Reading

    async def last_sequence(self) -> int:
        """The newest place in the stream; 0 when there is no stream.

        Raises:
            InstanceError: NATS does not answer.
        """
        try:
            return (await self._js().stream_info(self._subjects.dead_letter_stream)).state.last_seq
        except NotFoundError:
            return 0
        except _FAULTS as error:
            raise _no_answer(error) from error

    async def read(
        self, subscription: str | None = None, *, until: int | None = None
    ) -> AsyncIterator[StoredLetter]:
        """The letters of the product, oldest first, of one subscription (name or id) or of all.

        Raises:
            InstanceError: NATS does not answer.
        """
        by_id = subscription is not None and subscription.isdecimal()
        subject = self._subjects.dead_letter(self._product_id, str(subscription) if by_id else "*")
        sequence = 1
        while found := await self._next(subject, sequence):
            if until is not None and found.sequence > until:
                return
            sequence = found.sequence + 1
            if found.letter and (subscription is None or by_id or found.letter.subscription == subscription):
                yield StoredLetter(sequence=found.sequence, letter=found.letter)

    async def get(self, sequence: int) -> StoredLetter | None:
        """One letter of this product; null when there is none at that place.

        Raises:
            InstanceError: NATS does not answer.
        """
        found = await self._next(self._subjects.dead_letter(self._product_id, "*"), sequence)
        if found is None or found.sequence != sequence or found.letter is None:
            return None
        return StoredLetter(sequence=sequence, letter=found.letter)

    async def whole(self, letter: DeadLetter) -> DeadLetter:
        """The letter with its payload in it, where that stands in pieces.

        Raises:
            PayloadGoneError: it is no longer there.
            InstanceError: NATS does not answer.
        """
        if not letter.payload_parts:
            return letter
        payload = b"".join([await self._part(sequence) for sequence in letter.payload_parts])
        return structs.replace(letter, payload_base64=b64encode(payload).decode(), payload_parts=[])

    async def _part(self, sequence: int) -> bytes:
        try:
            found = await self._js().get_msg(self._subjects.dead_letter_stream, seq=sequence, direct=True)
        except NotFoundError:
            raise PayloadGoneError(f"part {sequence} of the payload is no longer in the stream") from None
        except _FAULTS as error:
            raise _no_answer(error) from error
        return found.data or b""

    async def remove(self, stored: StoredLetter) -> None:
        """Take a letter out of the stream, and its payload.

        Raises:
            InstanceError: NATS does not answer.
        """
        for sequence in (stored.sequence, *stored.letter.payload_parts):
            try:
                await self._js().delete_msg(self._subjects.dead_letter_stream, sequence)
            except _FAULTS as error:
                if not _is_gone(error):
                    raise _no_answer(error) from error

    async def _next(self, subject: str, sequence: int) -> _Found | None:
        try:
            message = await self._js().get_msg(
                self._subjects.dead_letter_stream, seq=sequence, subject=subject, next=True, direct=True
            )
        except (NotFoundError, NoRespondersError):
            return None
        except _FAULTS as error:
            raise _no_answer(error) from error
        try:
            letter = decode(message.data or b"", DeadLetter)
        except MalformedMessageError as error:
            log.warning("not a dead letter", sequence=message.seq, error=str(error))
            letter = None
        return _Found(sequence=message.seq, letter=letter)

    def _js(self) -> Any:
        if self._nats.client is None:
            raise InstanceError("NATS is away: look at NATS_URL")
        return cast("Any", self._nats.client).jetstream()


class _Found(Struct, frozen=True, kw_only=True):
    sequence: int
    letter: DeadLetter | None


def _is_gone(error: BaseException) -> bool:
    # Deleting what is not there is told as a fault of the server.
    return isinstance(error, NotFoundError) or (
        isinstance(error, APIError)
        and error.err_code == _DELETE_FAILED
        and error.description in ("no message found", "stream store EOF")
    )


def _no_answer(error: BaseException) -> InstanceError:
    return InstanceError(f"no answer from NATS: {error or type(error).__name__}")
