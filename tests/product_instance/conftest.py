"""A stand-in for config_service's side of NATS, and instances under test in this process."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import UTC, datetime
from random import Random
from typing import TYPE_CHECKING, Any, cast

import pytest
from msgspec import structs
from nats.js.api import StreamSource, SubjectTransform

from mqtt_shared import bus
from mqtt_shared.messages import (
    Broker,
    Heartbeat,
    Snapshot,
    Subscription,
    Topics,
    decode,
)
from mqtt_shared.mqtt import Connection, Message
from mqtt_shared.sealing import Secrets, new_key, seal_snapshot
from mqtt_shared.subjects import Subjects
from product_instance import InstanceSettings, ProductInstance
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable
    from pathlib import Path

    from nats.aio.client import Client
    from nats.aio.msg import Msg

    from deploy.local.nats import Nats

PRODUCT = 7


class Control:
    """Writes snapshots as the service does, and reads heartbeats."""

    def __init__(self, url: str, root: str) -> None:
        self.url, self.root = url, root
        self.subjects = Subjects(root)
        self.key = new_key()
        self.revision = 0
        self.heartbeats: list[Heartbeat] = []
        self._nats: Client | None = None
        self._kv: Any = None

    async def open(self) -> None:
        self._nats = await bus.connect(self.url, "control")
        js = cast("Any", self._nats).jetstream()
        self._kv = await js.create_key_value(bucket=self.subjects.bucket, direct=True)

        async def received(message: Msg) -> None:
            self.heartbeats.append(decode(message.data, Heartbeat))

        await cast("Any", self._nats).subscribe(self.subjects.heartbeats, cb=received)
        await self._nats.flush()

    async def close(self) -> None:
        if self._nats:
            await self._nats.close()

    @property
    def is_connected(self) -> bool:
        """To NATS."""
        return self._nats is not None and self._nats.is_connected

    def snapshot(
        self,
        broker: Broker | None,
        *subscriptions: Subscription,
        topics: Topics | None = None,
        **fields: Any,
    ) -> Snapshot:
        """The next revision."""
        self.revision += 1
        return Snapshot(
            product_id=PRODUCT,
            revision=self.revision,
            issued_at=datetime.now(UTC),
            broker=broker,
            topics=topics or Topics(use_shared=False, shared_group=None),
            subscriptions=list(subscriptions),
            **fields,
        )

    async def put(
        self, snapshot: Snapshot, password: str | None = None, *, key: str | None = None
    ) -> Snapshot:
        await self.put_raw(seal_snapshot(snapshot, Secrets(password=password), key or self.key))
        return snapshot

    async def put_raw(self, raw: bytes) -> None:
        await self._kv.put(str(PRODUCT), raw)

    async def prepare_unheard(self) -> None:
        """Make a second stream that the bucket's takes from: what it takes so, no subscriber hears."""
        js = cast("Any", self._nats).jetstream()
        name = f"{self.subjects.root}_unheard"
        transform = SubjectTransform(src=self._unheard, dest=self.subjects.config(PRODUCT))
        bucket = (await js.stream_info(self.subjects.bucket_stream)).config
        await self.add_stream(name, self._unheard)
        await js.update_stream(
            bucket.evolve(sources=[StreamSource(name=name, subject_transforms=[transform])])
        )

    async def put_unheard(self, raw: bytes) -> None:
        """What was handed to subscribers before they subscribed, and is stored only now."""
        await cast("Any", self._nats).jetstream().publish(self._unheard, raw)

    @property
    def _unheard(self) -> str:
        return f"{self.subjects.root}.unheard"

    async def delete(self) -> None:
        await self._kv.delete(str(PRODUCT))

    async def stored(self, stream: str) -> list[bytes]:
        """All messages of a stream, oldest first."""
        js = cast("Any", self._nats).jetstream()
        state = (await js.stream_info(stream)).state
        numbers = range(state.first_seq, state.last_seq + 1)
        return [(await js.get_msg(stream, seq=number)).data for number in numbers]

    async def add_stream(self, name: str, *subjects: str) -> None:
        """As somebody may have made it beforehand."""
        await cast("Any", self._nats).jsm().add_stream(name=name, subjects=list(subjects), allow_direct=True)

    async def drop(self, stream: str, sequence: int) -> None:
        """Delete one message of a stream."""
        await cast("Any", self._nats).jsm().delete_msg(stream, sequence)

    async def command(self, data: bytes) -> bytes:
        assert self._nats
        reply = await self._nats.request(self.subjects.command(PRODUCT), data, timeout=5)
        return reply.data

    def settings(self, state_dir: Path, **changes: Any) -> InstanceSettings:
        given: dict[str, Any] = {
            "nats_url": self.url,
            "nats_root": self.root,
            "product_id": PRODUCT,
            "product_key": self.key,
            "state_dir": state_dir,
            "heartbeat_interval_seconds": 0.2,
            "config_wait_seconds": 2,
            # A change that the subscription does not bring is not brought by the refresh within a test.
            "config_refresh_seconds": 600,
            "connect_timeout_seconds": 3,
        }
        return InstanceSettings(**(given | changes))


class Impatient(Random):
    """Has an instance try again soon."""

    def uniform(self, a: float, b: float) -> float:
        """Near the lower bound."""
        return a + (b - a) / 10


async def applied(instance: ProductInstance, revision: int) -> None:
    """Wait until the instance has applied the revision."""

    def check() -> bool:
        told = instance.heartbeat()
        assert told.applied_revision == revision, told
        return True

    await eventually(check)


async def rejected(instance: ProductInstance, *words: str) -> Heartbeat:
    """Wait until the instance reports a rejection that has all the words."""

    def check() -> Heartbeat | None:
        told = instance.heartbeat()
        assert told.rejected, told
        assert all(word in told.rejected.error for word in words), told.rejected
        return told

    found = await eventually(check)
    assert found
    return found


def received(instance: ProductInstance, subscription_id: int = 1) -> int:
    """Messages that the instance counts for a subscription."""
    counters = instance.heartbeat().counters.get(str(subscription_id))
    return counters.messages_received if counters else 0


def with_actions(subscription: Subscription, *actions: dict[str, Any]) -> Subscription:
    return structs.replace(subscription, actions=list(actions))


@asynccontextmanager
async def publisher(
    host: str, port: int, on_payload: Callable[[bytes], None] | None = None
) -> AsyncGenerator[Connection]:
    """A connection that publishes, and hands over the payloads of what it subscribes."""

    def received(message: Message) -> None:
        if on_payload:
            on_payload(message.payload)
        connection.ack(message)

    connection = Connection(
        Broker(host=host, port=port), client_id=f"pub{Random().getrandbits(60)}", on_message=received
    )
    await connection.open()
    try:
        yield connection
    finally:
        await connection.close()


@pytest.fixture
async def control(nats_server: Nats, nats_root: str) -> AsyncIterator[Control]:
    control = Control(nats_server.url, nats_root)
    await control.open()
    yield control
    await control.close()


@pytest.fixture
def topic(nats_root: str) -> str:
    """The first level of this test's MQTT topics."""
    return nats_root


@pytest.fixture
def folder(tmp_path: Path) -> Callable[[str], Path]:
    """A STATE_DIR by name."""
    return lambda name: tmp_path / name
