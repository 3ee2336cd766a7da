"""Order, acknowledgement and bounds of the way of a message."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from mqtt_shared.mqtt import Message
from mqtt_shared.plan import Route
from product_instance.core.counters import Outcome
from product_instance.core.router import Router
from product_instance.pipeline import Delivery, Feed, Job, Pipeline, Routing
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine
    from random import Random


_OPEN: list[Pipeline] = []


@pytest.fixture(autouse=True)
async def no_worker_left() -> AsyncIterator[None]:
    yield
    for pipeline in _OPEN:
        await pipeline.close()
    _OPEN.clear()


def opened(
    work: Callable[[Job], Coroutine[None, None, Outcome]],
    settled: Callable[[Delivery], None],
    **options: int,
) -> Pipeline:
    """A pipeline that is closed after the test."""
    pipeline = Pipeline(work, settled, **options)
    _OPEN.append(pipeline)
    return pipeline


def routing(*routes: Route) -> Routing:
    return Routing(router=Router(routes), revision=1)


def route(subscription_id: int = 1, topic: str = "#", concurrency: int = 16) -> Route:
    return Route(
        subscription_id=subscription_id,
        name=f"s{subscription_id}",
        filter=topic,
        topic=topic,
        actions=[{"type": "x"}],
        concurrency=concurrency,
    )


def message(mid: int, topic: str = "a", *, qos: int = 1, duplicate: bool = False) -> Message:
    return Message(topic, str(mid).encode(), qos, False, duplicate, mid, datetime.now(UTC))


class Acks:
    """The acknowledging side of a connection, which may be gone."""

    def __init__(self) -> None:
        self.acked: list[int] = []
        self.gone = self.paused = False

    def ack(self, message: Message) -> bool:
        if not self.gone:
            self.acked.append(message.mid)
        return not self.gone

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False


class Work:
    """Work that ends when it is told to; `worked` has packet ids in the order of their end."""

    def __init__(self) -> None:
        self.running: dict[int, asyncio.Event] = {}
        self.worked: list[int] = []
        self.settled: list[int] = []

    async def run(self, job: Job) -> Outcome:
        mid = job.delivery.message.mid
        event = self.running[mid] = asyncio.Event()
        await event.wait()
        self.worked.append(mid)
        return Outcome(subscription_id=job.route.subscription_id, executed=1)

    async def done(self, feed: Feed, message: Message) -> None:
        """It comes, and the work on it is done."""
        feed.receive(message)
        await turns()
        await self.end(message.mid)

    async def end(self, mid: int) -> None:
        self.running.pop(mid).set()
        await turns()


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def made(work: Work, *routes: Route, **options: int) -> tuple[Pipeline, Callable[..., tuple[Feed, Acks]]]:
    pipeline = opened(work.run, lambda delivery: work.settled.append(delivery.message.mid), **options)

    def feed(inherits: Feed | None = None) -> tuple[Feed, Acks]:
        made, acks = Feed(pipeline, "client", routing(*(routes or (route(),))), inherits), Acks()
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


@pytest.mark.parametrize("failed_attempts", [0, 2])
async def test_what_was_inherited_and_not_seen_again_is_still_known_later(failed_attempts: int) -> None:
    work = Work()
    _, connect = made(work)
    first, acks = connect()
    first.receive(message(1))
    await turns()
    acks.gone = True
    second, acks = connect(first)
    acks.gone = True
    for _ in range(failed_attempts):
        connect(second)
    third, acks = connect(second)
    third.receive(message(1, duplicate=True))
    await work.end(1)
    assert acks.acked == [1]
    assert work.worked == [1]


async def test_what_only_looks_like_an_inherited_message_is_worked_on() -> None:
    work = Work()
    _, connect = made(work)
    first, acks = connect()
    acks.gone = True
    await work.done(first, message(1))
    second, acks = connect(first)
    third, acks = connect(second)
    # The packet id stands for another message now, equal to the old one: it comes, and later one more.
    await work.done(third, message(1))
    fourth, acks = connect(third)
    fourth.receive(message(1, duplicate=True))
    await turns()
    assert acks.acked == []
    await work.end(1)
    assert work.worked == [1, 1, 1]
    assert acks.acked == [1]


@pytest.mark.parametrize("qos", [1, 2])
async def test_without_a_session_nothing_is_inherited(qos: int) -> None:
    work = Work()
    _, connect = made(work)
    first, acks = connect()
    acks.gone = qos == 1
    await work.done(first, message(1, qos=qos))
    second, acks = connect(first)
    second.forget()
    await work.done(second, message(1, qos=qos, duplicate=True))
    assert (work.worked, acks.acked) == ([1, 1], [1])


async def test_only_qos_0_is_dropped_when_there_is_no_room() -> None:
    work = Work()
    pipeline, connect = made(work, route(concurrency=1), limit=2)
    feed, _ = connect()
    for mid in (1, 2, 3):
        feed.receive(message(mid))
    feed.receive(message(4, qos=0))
    assert pipeline.dropped == 1
    await turns()
    for mid in (1, 2, 3):
        await work.end(mid)
    await work.done(feed, message(5, qos=0))
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


async def test_what_is_held_up_does_not_hold_up_others_for_long() -> None:
    work = Work()
    _, connect = made(work)
    feed, acks = connect()
    for mid, topic in ((1, "stuck"), (2, "a"), (3, "stuck"), (4, "b")):
        feed.receive(message(mid, topic))
    await turns()
    await work.end(2)
    await work.end(4)
    assert acks.acked == []
    await asyncio.sleep(1.1)
    assert acks.acked == [2, 4]
    await work.done(feed, message(5, "c"))
    assert acks.acked == [2, 4, 5]
    feed.hold_acks()
    await work.end(1)
    await work.end(3)
    assert acks.acked == [2, 4, 5]
    feed.release_acks()
    assert acks.acked == [2, 4, 5, 1, 3]
    await feed.idle()


async def test_a_stuck_subscription_keeps_no_place_of_another() -> None:
    work = Work()
    _, connect = made(work, route(1, "one/#", concurrency=1), route(2, "two/#", concurrency=1))
    feed, _ = connect()
    for mid, topic in ((1, "one/a"), (2, "one/b"), (3, "two/a"), (4, "two/b")):
        feed.receive(message(mid, topic))
    await turns()
    assert sorted(work.running) == [1, 3]
    await work.end(3)
    assert sorted(work.running) == [1, 4]
    for mid in (4, 1, 2):
        await work.end(mid)
    await feed.idle()


async def test_a_message_is_done_when_all_its_subscriptions_are() -> None:
    started = dict[int, asyncio.Event]()

    async def run(job: Job) -> Outcome:
        started[job.route.subscription_id] = event = asyncio.Event()
        await event.wait()
        return Outcome(subscription_id=job.route.subscription_id)

    settled = list[int]()
    pipeline = opened(run, lambda delivery: settled.extend(o.subscription_id for o in delivery.outcomes))
    feed, acks = Feed(pipeline, "client", routing(route(1, "a"), route(2, "+"))), Acks()
    feed.attach(acks)
    feed.receive(message(1))
    await turns()
    started[2].set()
    await turns()
    assert (settled, acks.acked) == ([], [])
    started[1].set()
    await feed.idle()
    assert (settled, acks.acked) == ([2, 1], [1])


async def test_the_same_connection_delivers_again_what_takes_long() -> None:
    work = Work()
    _, connect = made(work)
    feed, acks = connect()
    feed.receive(message(1))
    await turns()
    feed.receive(message(1, duplicate=True))
    await work.end(1)
    await feed.idle()
    assert (work.worked, acks.acked) == ([1], [1])


async def test_qos_2_is_remembered_until_the_broker_releases_it() -> None:
    work = Work()
    _, connect = made(work)
    first, acks = connect()
    await work.done(first, message(1, qos=2))
    assert acks.acked == [1]
    # PUBREC got lost with the connection.
    second, acks = connect(first)
    second.receive(message(1, qos=2, duplicate=True))
    await turns()
    assert (work.worked, acks.acked) == ([1], [1])
    second.released(1)
    await work.done(second, message(1, qos=2, duplicate=True))
    assert (work.worked, acks.acked) == ([1, 1], [1, 1])


async def test_a_broker_without_a_window_is_held_up() -> None:
    gate = asyncio.Semaphore(0)

    async def run(job: Job) -> Outcome:
        await gate.acquire()
        return Outcome(subscription_id=1)

    feed, acks = Feed(opened(run, lambda _: None), "client", routing(route())), Acks()
    feed.attach(acks)
    # 64 MiB.
    payload = bytes(2**20)
    for mid in range(1, 65):
        assert not acks.paused
        feed.receive(structs.replace(message(mid), payload=payload))
    assert acks.paused
    for _ in range(32):
        gate.release()
    await eventually(lambda: not acks.paused)
    assert len(acks.acked) == 32
    for _ in range(32):
        gate.release()
    await feed.idle()
    assert acks.acked == list(range(1, 65))


async def test_equal_messages_of_qos_0_have_ids_of_their_own() -> None:
    ids = list[str]()

    async def run(job: Job) -> Outcome:
        ids.append(job.delivery.identity)
        return Outcome(subscription_id=1)

    for persists in (True, True, False):
        feed = Feed(opened(run, lambda _: None), "client", routing(route()), persists=persists)
        for qos, mid in ((0, 0), (0, 0), (1, 1)):
            feed.receive(Message("a", b"on", qos, False, False, mid, datetime.now(UTC)))
        await feed.idle()
    # Only in a session that persists can the same packet id mean the same message.
    assert len(set(ids)) == 8
    assert ids[2] == ids[5]


@given(st.lists(st.sampled_from("abc"), max_size=30), st.randoms(use_true_random=False))
def test_any_order_of_work_keeps_topics_in_order_and_acks_all(topics: list[str], random: Random) -> None:
    async def scenario() -> None:
        work = Work()
        _, connect = made(work, route(concurrency=2))
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
        while _OPEN:
            await _OPEN.pop().close()

    asyncio.run(scenario())
