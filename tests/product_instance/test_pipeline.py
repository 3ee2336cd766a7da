"""Order, acknowledgement and bounds of the way of a message."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from mqtt_shared.mqtt import Message
from mqtt_shared.plan import Route
from product_instance.core.router import Router
from product_instance.pipeline import Delivery, Feed, Pipeline, Routing

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

ROUTE = Route(subscription_id=1, name="s", filter="#", topic="#", actions=[{"type": "x"}])
ROUTING = Routing(router=Router([ROUTE]), revision=1)


def message(mid: int, topic: str = "a", *, qos: int = 1, duplicate: bool = False) -> Message:
    return Message(topic, str(mid).encode(), qos, False, duplicate, mid, datetime.now(UTC))


class Acks:
    """The acknowledging side of a connection, which may be gone."""

    def __init__(self) -> None:
        self.acked: list[int] = []
        self.gone = False

    def ack(self, message: Message) -> bool:
        if not self.gone:
            self.acked.append(message.mid)
        return not self.gone


class Work:
    """Work that ends when it is told to; `worked` has packet ids in the order of their end."""

    def __init__(self) -> None:
        self.running: dict[int, asyncio.Event] = {}
        self.worked: list[int] = []
        self.settled: list[int] = []

    async def run(self, delivery: Delivery) -> None:
        event = self.running[delivery.message.mid] = asyncio.Event()
        await event.wait()
        self.worked.append(delivery.message.mid)

    async def end(self, mid: int) -> None:
        self.running.pop(mid).set()
        await turns()


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def made(work: Work, **options: int) -> tuple[Pipeline, Callable[..., tuple[Feed, Acks]]]:
    pipeline = Pipeline(work.run, lambda delivery: work.settled.append(delivery.message.mid), **options)

    def feed(inherits: Feed | None = None) -> tuple[Feed, Acks]:
        made, acks = Feed(pipeline, "client", ROUTING, inherits), Acks()
        made.attach(acks)
        return made, acks

    return pipeline, feed


async def test_acknowledged_in_the_order_of_receipt_after_the_work() -> None:
    work = Work()
    _, connect = made(work)
    feed, acks = connect()
    for mid, topic in ((1, "a"), (2, "b"), (3, "a")):
        feed.receive(message(mid, topic))
    await turns()
    # One topic one by one, another one beside it.
    assert sorted(work.running) == [1, 2]
    await work.end(2)
    assert acks.acked == []
    assert work.settled == [2]
    await work.end(1)
    assert acks.acked == [1, 2]
    waiting = asyncio.create_task(feed.idle())
    await turns()
    assert not waiting.done()
    await work.end(3)
    await waiting
    assert acks.acked == [1, 2, 3]


async def test_what_comes_again_in_the_session_is_not_worked_on_again() -> None:
    work = Work()
    _, connect = made(work)
    first, acks = connect()
    for mid, topic in ((1, "a"), (2, "b")):
        first.receive(message(mid, topic))
    await turns()
    acks.gone = True
    await work.end(2)
    second, acks = connect(first)
    for again in (message(1, "a", duplicate=True), message(2, "b", duplicate=True), message(3, "d")):
        second.receive(again)
    await turns()
    assert acks.acked == []
    await work.end(1)
    assert acks.acked == [1, 2]
    assert sorted(work.running) == [3]
    await work.end(3)
    await second.idle()
    assert acks.acked == [1, 2, 3]


async def test_what_was_inherited_and_not_seen_again_is_still_known_later() -> None:
    work = Work()
    _, connect = made(work)
    first, acks = connect()
    first.receive(message(1))
    await turns()
    acks.gone = True
    second, acks = connect(first)
    acks.gone = True
    third, acks = connect(second)
    third.receive(message(1, duplicate=True))
    await work.end(1)
    assert acks.acked == [1]
    assert work.worked == [1]


async def test_only_qos_0_is_dropped_when_there_is_no_room() -> None:
    work = Work()
    pipeline, connect = made(work, limit=2, concurrency=1)
    feed, _ = connect()
    for mid in (1, 2, 3):
        feed.receive(message(mid))
    feed.receive(message(4, qos=0))
    assert pipeline.dropped == 1
    await turns()
    for mid in (1, 2, 3):
        await work.end(mid)
    feed.receive(message(5, qos=0))
    await turns()
    await work.end(5)
    await feed.idle()
    assert work.worked == [1, 2, 3, 5]


async def test_acknowledgements_can_be_held() -> None:
    work = Work()
    _, connect = made(work)
    feed, acks = connect()
    feed.receive(message(1))
    feed.hold_acks()
    await turns()
    await work.end(1)
    await feed.idle()
    assert acks.acked == []
    feed.release_acks()
    assert acks.acked == [1]


async def test_a_closed_feed_takes_nothing() -> None:
    work = Work()
    _, connect = made(work)
    feed, acks = connect()
    feed.close()
    feed.receive(message(1))
    await feed.idle()
    assert (work.running, acks.acked) == ({}, [])


@given(st.lists(st.sampled_from("abc"), max_size=30), st.randoms(use_true_random=False))
def test_any_order_of_work_keeps_topics_in_order_and_acks_all(topics: list[str], random: Random) -> None:
    async def scenario() -> None:
        work = Work()
        _, connect = made(work, concurrency=2)
        feed, acks = connect()
        for number, topic in enumerate(topics, 1):
            feed.receive(message(number, topic))
        await turns()
        while work.running:
            await work.end(random.choice(sorted(work.running)))
        await feed.idle()
        assert acks.acked == list(range(1, len(topics) + 1))
        for topic in "abc":
            mine = [number for number, each in enumerate(topics, 1) if each == topic]
            assert [number for number in work.worked if number in mine] == mine

    asyncio.run(scenario())
