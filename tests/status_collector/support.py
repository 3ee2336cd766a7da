"""Made-up heartbeats, a fleet that sends them, and the reference that the totals must equal."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import asyncpg
from msgspec import structs

from mqtt_shared.messages import Counters, Heartbeat, encode
from mqtt_shared.subjects import Subjects
from status_collector.consumer import CONSUMER
from status_collector.core.check import check

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.js.api import ConsumerInfo

    from status_collector.core.model import Heard

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
_asyncpg: Any = asyncpg


def heartbeat(
    counts: dict[int, int] | None = None, *, seq: int = 1, boot: str = "b1", **changes: Any
) -> Heartbeat:
    """A heartbeat of product 1, instance `i1`; `counts` are messages by subscription."""
    counters = {
        str(key): Counters(messages_received=n, last_message_at=EPOCH + timedelta(seconds=n))
        for key, n in (counts or {}).items()
    }
    plain = Heartbeat(
        product_id=1,
        instance_id="i1",
        boot_id=boot,
        seq=seq,
        sent_at=EPOCH,
        started_at=EPOCH,
        counters=counters,
        connected=True,
        connected_since=EPOCH,
        client_id="client-1",
        broker_info={"host": "broker.example.com"},
        subscribed_topics_count=len(counters),
    )
    return structs.replace(plain, **changes)


def hear(beat: Heartbeat, received: float, now: datetime = EPOCH) -> Heard:
    """The heartbeat as the collector hears it."""
    subject = Subjects().heartbeat(beat.product_id, beat.instance_id, beat.boot_id)
    return check(subject, encode(beat), received, now)


class Database:
    """Rows to begin with, and what came of them."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    async def product(self, name: str, subscriptions: int = 2) -> tuple[int, list[int]]:
        """A configured product: its id and those of its subscriptions."""
        product = await self.connection.fetchval(
            "insert into products (name, product_key, product_key_id) values ($1, 'x', 'x') returning id",
            name,
        )
        config = await self.connection.fetchval(
            "insert into mqtt_configs (product_id, broker_host, revision)"
            " values ($1, 'broker.example.com', 1) returning id",
            product,
        )
        await self.revise(product, 1, "d1")
        made = [
            await self.connection.fetchval(
                "insert into mqtt_subscriptions (mqtt_config_id, name) values ($1, $2) returning id",
                config,
                f"s{number}",
            )
            for number in range(subscriptions)
        ]
        return product, made

    async def revise(self, product: int, revision: int, digest: str) -> None:
        """A new revision in the history of the product."""
        await self.connection.execute(
            "insert into mqtt_config_revisions (product_id, revision, changed_by, action, digest)"
            " values ($1, $2, 'somebody', 'updated', $3)",
            product,
            revision,
            digest,
        )

    async def totals(self, product: int) -> dict[int, int]:
        """Messages by subscription of the product."""
        rows = await self.connection.fetch(
            "select s.id, s.messages_received from mqtt_subscriptions s"
            " join mqtt_configs c on c.id = s.mqtt_config_id where c.product_id = $1",
            product,
        )
        return {row[0]: row[1] for row in rows}

    async def status(self, product: int) -> Any:
        """The stored status, or none."""
        return await self.connection.fetchrow(
            "select * from mqtt_connection_status where product_id = $1", product
        )

    async def instance(self, product: int, instance: str = "i1") -> Any:
        """The stored instance, or none."""
        return await self.connection.fetchrow(
            "select * from mqtt_instances where product_id = $1 and instance_id = $2", product, instance
        )

    async def received(self, product: int) -> int:
        """The product's total."""
        status = await self.status(product)
        return status["messages_received"] if status else 0


async def consumer_info(client: Client, root: str) -> ConsumerInfo:
    """How the durable consumer that all collectors share stands."""
    return await cast("Any", client).jetstream().consumer_info(Subjects(root).heartbeat_stream, CONSUMER)


async def send(client: Client, root: str, beat: Heartbeat) -> None:
    """As an instance sends it."""
    subject = Subjects(root).heartbeat(beat.product_id, beat.instance_id, beat.boot_id)
    await client.publish(subject, encode(beat))


@dataclass
class Fleet:
    """Instances that count, restart, and send heartbeats that are repeated, late or lost.

    `model` is the reference: a grow-only counter keyed by instance, boot and subscription.
    """

    product: int
    subscriptions: list[int]
    size: int
    seed: int
    interval: float = 60
    model: dict[tuple[str, str, int], int] = field(default_factory=lambda: defaultdict(int))

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self._boots = dict.fromkeys(self.instances, 0)
        self._seq: dict[str, int] = defaultdict(int)
        self._sent: list[Heartbeat] = []

    @property
    def instances(self) -> list[str]:
        """The ids."""
        return [f"i{number}" for number in range(self.size)]

    def step(self) -> list[Heartbeat]:
        """Every instance counts; most report, some have been restarted before; shuffled, with repeats."""
        beats: list[Heartbeat] = []
        for instance in self.instances:
            if self.random.random() < 0.1:
                # An orderly restart tells its last counts; they are in the stream whatever comes later.
                beats.append(self._report(instance, stopping=True))
                self._boots[instance] += 1
            for subscription in self.subscriptions:
                self.model[instance, self._boot(instance), subscription] += self.random.randrange(5)
            if self.random.random() < 0.8:
                beats.append(self._report(instance))
        repeated = self.random.sample(beats, len(beats) // 3)
        # Late ones of boots that run: of a boot that has ended the stream must keep the goodbye.
        late = [beat for beat in self._sent if beat.boot_id == self._boot(beat.instance_id)]
        self._sent = beats
        return beats + repeated + self.random.sample(late, len(late) // 4)

    def last(self) -> list[Heartbeat]:
        """What every running boot reports in the end."""
        return [self._report(instance) for instance in self.instances]

    def totals(self) -> dict[int, int]:
        """Messages by subscription."""
        totals = dict.fromkeys(self.subscriptions, 0)
        for (_, _, subscription), count in self.model.items():
            totals[subscription] += count
        return totals

    def _boot(self, instance: str) -> str:
        return f"boot-{self._boots[instance]:05}"

    def _report(self, instance: str, *, stopping: bool = False) -> Heartbeat:
        boot = self._boot(instance)
        self._seq[boot + instance] += 1
        counts = {sub: self.model[instance, boot, sub] for sub in self.subscriptions}
        return heartbeat(
            counts,
            seq=self._seq[boot + instance],
            boot=boot,
            product_id=self.product,
            instance_id=instance,
            interval=self.interval,
            stopping=stopping,
        )
