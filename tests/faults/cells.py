"""A change of the configuration under load, with every message counted."""

from __future__ import annotations

import asyncio
import itertools
import re
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from msgspec import Struct, structs

from mqtt_shared.messages import Broker, Subscription, Topics
from mqtt_shared.mqtt import Connection, Message
from product_instance import ProductInstance
from tests.product_instance.conftest import Control, applied, with_actions
from tests.support.waiting import eventually

from .books import COLLECT, Books
from .load import PERIOD_SECONDS, Load

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .table import Row

_BURST = 50
"""On each topic, right before a change: more than the broker's window of 20 is still on its way then."""

_SECONDS = 15 * PERIOD_SECONDS
"""Under load before and after a change."""

PROTOCOLS = ("3.1.1", "5")
SESSIONS = ("clean", "clean, own id", "persistent")
LEAVE_ALONE = ("subscription added", "subscription removed", "topic renamed")
REFUSED = ("refused: nobody there", "refused: wrong password")
MANY = "ten changes at once"
CHANGES = (
    *LEAVE_ALONE,
    "QoS",
    "shared on",
    "shared off",
    "group renamed",
    "client id",
    "credentials",
    "TLS",
    "keep-alive",
    "other port of the same broker",
    "other broker",
    *REFUSED,
    MANY,
)


class Place(Struct, frozen=True, kw_only=True):
    """Servers that many cells use at once."""

    nats_url: str
    port: int
    second_port: int
    """Another listener of the same broker."""
    tls_port: int
    """One more, with TLS."""
    ca: str
    other_port: int
    """Another broker."""
    closed_port: int
    patience_seconds: float = 3
    """How long something may be missing before it counts as lost."""
    folder: Path


class Cell(Struct, frozen=True, kw_only=True):
    """One field of the matrix."""

    change: str
    session: str
    shared: bool
    protocol: str

    @property
    def may_repeat(self) -> bool:
        """May messages that are published during the change come twice?

        Where two connections, or two filters on one, both get a copy of each message while one takes over
        from the other; the copies cannot be told from two equal messages.
        """
        if self.change in (*LEAVE_ALONE, *REFUSED, "QoS"):
            return False
        if self.change in ("shared on", "shared off", "group renamed"):
            return True
        return not self.shared or self.session == "persistent"


class _Side(Struct, frozen=True, kw_only=True):
    """The configuration before or after the change."""

    broker: Broker
    topics: Topics
    names: tuple[str, ...] = ("steady", "other")
    password: str | None = None


def matrix() -> list[Cell]:
    """All fields that have a meaning."""
    fields = itertools.product(CHANGES, SESSIONS, (False, True), PROTOCOLS)
    cells = (Cell(change=c, session=s, shared=k, protocol=p) for c, s, k, p in fields)
    only = {"shared on": False, "shared off": True, "group renamed": True}
    return [cell for cell in cells if only.get(cell.change, cell.shared) == cell.shared]


def _sides(cell: Cell, place: Place, name: str) -> tuple[_Side, _Side]:
    broker = Broker(
        host="127.0.0.1",
        port=place.port,
        clean_session=cell.session != "persistent",
        client_id=f"{name}-one" if cell.session == "clean, own id" else None,
        protocol="5" if cell.protocol == "5" else "3.1.1",
        session_expiry_seconds=600,
        ca_certificate=place.ca,
    )
    group = f"group-{name}"
    before = _Side(
        broker=broker, topics=Topics(use_shared=cell.shared, shared_group=group if cell.shared else None)
    )

    def at(**fields: Any) -> _Side:
        return structs.replace(before, broker=structs.replace(broker, **fields))

    def subscribed(**fields: Any) -> _Side:
        return structs.replace(before, topics=structs.replace(before.topics, **fields))

    def named(*names: str) -> _Side:
        return structs.replace(before, names=names)

    after = {
        "subscription added": lambda: before,
        "subscription removed": lambda: named("steady"),
        "topic renamed": lambda: named("steady", "renamed"),
        "QoS": lambda: subscribed(qos=2),
        "shared on": lambda: subscribed(use_shared=True, shared_group=group),
        "shared off": lambda: subscribed(use_shared=False, shared_group=None),
        "group renamed": lambda: subscribed(shared_group=f"{group}-2"),
        "client id": lambda: at(client_id=f"{name}-two"),
        "credentials": lambda: structs.replace(at(username="second"), password="password-2"),
        "TLS": lambda: at(port=place.tls_port, use_tls=True),
        "keep-alive": lambda: at(keep_alive=30),
        "other port of the same broker": lambda: at(port=place.second_port),
        "other broker": lambda: at(port=place.other_port),
        "refused: nobody there": lambda: at(port=place.closed_port, keep_alive=30),
        "refused: wrong password": lambda: structs.replace(at(username="first"), password="wrong"),
        MANY: lambda: at(keep_alive=30),
    }[cell.change]()
    if cell.change == "subscription added":
        before = named("steady")
    if cell.change == "credentials":
        before = structs.replace(at(username="first"), password="password-1")
    return before, after


class Run:
    """One cell, run to its row."""

    def __init__(self, cell: Cell, place: Place, name: str, pulse: Pulse) -> None:
        self.cell, self.place, self.name = cell, place, name
        self._pulse = pulse
        self._gaps: list[float] = []
        self._normal: list[float] = []
        self._changes: list[tuple[float, float]] = []
        self._control = Control(place.nats_url, name)
        self._instance = ProductInstance(
            self._control.settings(place.folder / name, instance_id=name, heartbeat_interval_seconds=5)
        )
        topics = [f"{name}/{each}" for each in ("steady", "other", "renamed")]
        self._loads = {place.port: Load(place.port, topics, "a")}
        if cell.change == "other broker":
            self._loads[place.other_port] = Load(place.other_port, topics, "b")
        self._books = Books(*self._loads.values())
        self._instance.action("collect")(self._books.collect)

    async def run(self) -> Row:
        """Change, change back, change again. What went wrong on the way stands in the row's note."""
        try:
            note = await self._run()
        except AssertionError as error:
            told = self._instance.heartbeat()
            note = f"**{(told.rejected and told.rejected.error) or told.connection_error or error}**"
        return self._row(note)

    async def _run(self) -> str:
        before, after = _sides(self.cell, self.place, self.name)
        async with AsyncExitStack() as stack:
            await self._control.open()
            stack.push_async_callback(self._control.close)
            for load in self._loads.values():
                await stack.enter_async_context(load)
            await self._put(before)
            await stack.enter_async_context(self._instance)
            await self._switch(None, before)
            for old, new in ((before, after), (after, before), (before, after)):
                await asyncio.sleep(_SECONDS)
                await self._overload()
                begin = asyncio.get_running_loop().time()
                await self._switch(old, new)
                self._changes.append((begin, await self._alone(begin)))
                await asyncio.sleep(_SECONDS)
                self._measure(begin)
            await self._books.settle(self.place.patience_seconds)
        # A message that was published while nothing changed comes once, and any other at most on two
        # connections, or for two filters.
        unfounded = self._books.repeated_outside(self._changes if self.cell.may_repeat else ())
        if self.cell.change != MANY:
            unfounded |= {sent for sent, times in self._books.seen.items() if times > 2}
        return f"**repeated: {sorted(unfounded)}**" if unfounded else ""

    async def _alone(self, begin: float) -> float:
        """Wait until the old connection has ended; until when it may have been subscribed."""
        applied_at = asyncio.get_running_loop().time()
        task = re.compile(f"retire .*{self.name}(-|$)")
        await eventually(lambda: not any(task.match(each.get_name()) for each in asyncio.all_tasks()))
        # It is unsubscribed before it is drained: a round trip more than the three that the change took.
        return min(asyncio.get_running_loop().time(), applied_at + 2 * (applied_at - begin) + 1)

    def _measure(self, begin: float) -> None:
        end = asyncio.get_running_loop().time()
        self._gaps.append(longest_pause(self._books.times, begin, end))
        self._normal.append(longest_pause(self._pulse.times, begin, end))

    async def _overload(self) -> None:
        for load in self._loads.values():
            load.burst(_BURST)
        await asyncio.gather(*(load.flushed() for load in self._loads.values()))

    async def _switch(self, old: _Side | None, new: _Side) -> None:
        if old and self._is_refused(new):
            await self._put(new)
            await eventually(lambda: self._instance.heartbeat().rejected)
            return
        for port, load in self._loads.items():
            load.expect(self._topics(port, new) & (self._topics(port, old) if old else frozenset()))
        if old and self.cell.change == MANY:
            for each in (new, old, new, old, new, old, new, old, new):
                await self._put(each)
                await asyncio.sleep(PERIOD_SECONDS / 10)
        await self._put(new)
        await applied(self._instance, self._control.revision)
        at_work = self._instance.heartbeat().broker_info
        assert at_work
        assert at_work["protocol"] == f"MQTT {self.cell.protocol}"
        for port, load in self._loads.items():
            load.expect(self._topics(port, new))

    def _is_refused(self, side: _Side) -> bool:
        return side.broker.port == self.place.closed_port or side.password == "wrong"

    async def _put(self, side: _Side) -> None:
        await self._control.put(self._snapshot(side), side.password)

    def _topics(self, port: int, side: _Side) -> frozenset[str]:
        # All but the other broker are listeners of the same one.
        here = self.place.other_port if side.broker.port == self.place.other_port else self.place.port
        return frozenset(f"{self.name}/{each}" for each in side.names) if here == port else frozenset()

    def _snapshot(self, side: _Side) -> Any:
        subscriptions = [
            with_actions(Subscription(id=at, name=f"s{at}", topic=f"{self.name}/{name}"), COLLECT)
            for at, name in enumerate(side.names, start=1)
        ]
        return self._control.snapshot(side.broker, *subscriptions, topics=side.topics)

    def _row(self, note: str) -> Row:
        quiet = self.cell.change in LEAVE_ALONE
        return self._books.row(
            self.cell.change,
            session=self.cell.session,
            topics="shared" if self.cell.shared else "plain",
            protocol=self.cell.protocol,
            gap=max(self._gaps, default=0.0) if quiet else 0.0,
            normal_gap=max(self._normal, default=0.0) if quiet else 0.0,
            note=note,
        )


class Pulse:
    """What a bare client sees on the same broker at the same time: the measure of pauses."""

    def __init__(self, port: int, topic: str) -> None:
        self.times: list[float] = []
        self._topic = topic
        self._load = Load(port, [topic])
        broker = Broker(host="127.0.0.1", port=port)
        self._connection = Connection(broker, client_id=topic, on_message=self._receive)

    def _receive(self, message: Message) -> None:
        self.times.append(asyncio.get_running_loop().time())
        self._load.came(message.payload.decode())
        self._connection.ack(message)

    async def __aenter__(self) -> Self:
        await self._connection.open()
        await self._connection.subscribe({self._topic: 1})
        await self._load.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._load.__aexit__()
        await self._connection.close()


def longest_pause(times: Sequence[float], begin: float, end: float) -> float:
    """In seconds, between two of these times or the ends of the period."""
    inside = [begin, *(at for at in times if begin < at < end), end]
    return max(b - a for a, b in itertools.pairwise(inside))


async def run_all(cells: Iterable[Cell], place: Place, root: str, at_once: int = 8) -> list[Row]:
    """The rows of all cells, several at a time."""
    room = asyncio.Semaphore(at_once)

    async def one(number: int, cell: Cell) -> Row:
        async with room:
            return await Run(cell, place, f"{root}n{number}", pulse).run()

    async with Pulse(place.port, f"{root}/pulse") as pulse:
        return await asyncio.gather(*(one(number, cell) for number, cell in enumerate(cells)))
