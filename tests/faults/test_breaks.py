"""Processes are killed, brokers freeze, networks are cut, disks are full: every message is counted."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from tests.product_instance.conftest import applied
from tests.support.proxy import TcpProxy
from tests.support.waiting import eventually

from .cells import PROTOCOLS
from .conftest import WHOLE
from .consumers import Command, Consumer, Kind, command, consumer, snapshot
from .table import Row

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence, Set
    from pathlib import Path

    from deploy.local.nats import Nats
    from tests.support.servers import Broker

    from .load import Sent

_CLEAN = "a clean session ends with its connection (MQTT 3.1.1, 3.1.2.4)"
_FORGETFUL = "Mosquitto 2.0 forgets the shared subscriptions of a session when it ends"
_ALL = [
    Kind(session=session, shared=shared, protocol=protocol)
    for session, shared, protocol in itertools.product(("clean", "persistent"), (False, True), PROTOCOLS)
]
_FEW = [
    Kind(session="clean", shared=False, protocol="3.1.1"),
    Kind(session="persistent", shared=False, protocol=PROTOCOLS[-1]),
    Kind(session="persistent", shared=True, protocol="3.1.1"),
]
KINDS = _ALL if WHOLE else _FEW
LASTING = [kind for kind in KINDS if kind.session == "persistent"]


class Stage:
    """Where the consumers of one test live, and where their rows go."""

    def __init__(
        self,
        nats_url: str,
        root: str,
        folder: Path,
        record: Callable[[Row], None],
        acknowledged: Set[Sent],
    ) -> None:
        self.place: dict[str, Any] = {"nats_url": nats_url, "folder": folder}
        self._acknowledged = acknowledged
        self.folder = folder
        self._root, self._record = root, record

    def name(self, number: int) -> str:
        """Of a consumer."""
        return f"{self._root}n{number}"

    @asynccontextmanager
    async def consumers(self, port: int, **options: Any) -> AsyncGenerator[list[Consumer]]:
        """One of each kind, in this process."""
        async with AsyncExitStack() as stack:
            yield [
                await stack.enter_async_context(
                    consumer(
                        kind,
                        self.name(at),
                        port=port,
                        acknowledged=self._acknowledged,
                        **self.place,
                        **options,
                    )
                )
                for at, kind in enumerate(KINDS)
            ]

    async def commands(
        self,
        kinds: Iterable[Kind],
        port: int,
        story: Callable[[Consumer, Command], Awaitable[None]],
        **options: Any,
    ) -> list[Consumer]:
        """One process of each kind, side by side through the story."""

        async def one(at: int, kind: Kind) -> Consumer:
            async with command(kind, self.name(at), port=port, **self.place, **options) as (made, process):
                await story(made, process)
                await made.books.settle(1)
                return made

        return await asyncio.gather(*(one(at, kind) for at, kind in enumerate(kinds)))

    async def close(
        self,
        fault: str,
        consumers: Sequence[Consumer],
        *,
        loses: Callable[[Kind], str] = lambda _: "",
        breaks: bool = True,
    ) -> None:
        """The rows: none lost but where `loses` says why; repeated only where a connection `breaks`, and then
        only what the broker could not know to be done.
        """
        rows = list[Row]()
        patience = {each.kind: 0.5 if loses(each.kind) else 3 for each in consumers}
        await asyncio.gather(*(each.books.settle(patience[each.kind]) for each in consumers))
        for each in consumers:
            rows.append(each.books.row(fault, **each.kind.words, note=loses(each.kind)))
            self._record(rows[-1])
            # Whatever was lost with the connection, nothing is once it is back.
            assert not each.books.missing_since(each.recovered_at)
        assert not [str(row) for row in rows if row.lost and not row.note]
        assert breaks or not [str(row) for row in rows if row.duplicated]
        assert not {sent for each in consumers for sent in each.books.repeated_when_finished}
        # Without a session each connection gets a copy of its own while one takes over from the other.
        lasting = [each.books for each in consumers if each.kind.session == "persistent"]
        assert not {sent for books in lasting for sent in books.repeated_in_work}
        assert all(row.delivered for row in rows), rows


@pytest.fixture
def stage(
    nats_server: Nats,
    nats_root: str,
    tmp_path: Path,
    record: Callable[[Row], None],
    acknowledged: set[Sent],
) -> Stage:
    return Stage(nats_server.url, nats_root, tmp_path, record, acknowledged)


async def _under_load(consumers: Sequence[Consumer], seconds: float = 0.3) -> None:
    await asyncio.gather(*(each.finish() for each in consumers))
    await _load(consumers, seconds)


async def _load(consumers: Iterable[Consumer], seconds: float) -> None:
    await asyncio.sleep(seconds)
    for each in consumers:
        each.load.burst(15)


def _clean(kind: Kind) -> str:
    return _CLEAN if kind.session == "clean" else ""


def _clean_or_shared(kind: Kind) -> str:
    return _clean(kind) or (_FORGETFUL if kind.shared else "")


async def _change(consumers: Iterable[Consumer], port: int, *, keep_alive: int) -> None:
    for each in consumers:
        await each.control.put(snapshot(each.control, each.kind, port, keep_alive))


async def _recovered(consumers: Iterable[Consumer]) -> None:
    await eventually(lambda: _all_connected(consumers))
    for each in consumers:
        each.recovered_at = asyncio.get_running_loop().time() + 0.1


def _all_connected(consumers: Iterable[Consumer], *, connected: bool = True) -> bool:
    return all(each.instance and each.instance.heartbeat().connected == connected for each in consumers)


async def test_kill_9_of_the_instance(stage: Stage, mosquitto: Broker) -> None:
    kills = 3 if WHOLE else 1

    async def story(made: Consumer, process: Command) -> None:
        for _ in range(kills):
            await _under_load([made])
            await process.kill()
            await process.start()
            made.recovered_at = asyncio.get_running_loop().time() + 0.1

    kinds = KINDS if WHOLE else LASTING[:1]
    found = await stage.commands(kinds, mosquitto.port, story)
    await stage.close("kill -9 of the instance", found, loses=_clean)


async def test_an_orderly_restart_of_the_instance(stage: Stage, mosquitto: Broker) -> None:
    async def story(made: Consumer, process: Command) -> None:
        await _under_load([made])
        assert await process.stop() == 0
        await process.start()
        made.recovered_at = asyncio.get_running_loop().time() + 0.1

    found = await stage.commands(KINDS if WHOLE else LASTING[:1], mosquitto.port, story)
    await stage.close("orderly restart of the instance", found, loses=_clean, breaks=False)


async def test_the_broker_restarts(stage: Stage, own_mosquitto: Callable[..., Broker]) -> None:
    broker = own_mosquitto()
    async with stage.consumers(broker.port) as consumers:
        await _under_load(consumers)
        await asyncio.to_thread(broker.restart)
        await _recovered(consumers)
        await _under_load(consumers)
        await stage.close("restart of the broker", consumers, loses=_clean_or_shared)


async def test_kill_9_of_the_broker(stage: Stage, own_mosquitto: Callable[..., Broker]) -> None:
    # Mosquitto writes when it is told to, and never before it acknowledges.
    broker = own_mosquitto("autosave_on_changes true", "autosave_interval 1")
    async with stage.consumers(broker.port) as consumers:
        await _under_load(consumers)
        await asyncio.to_thread(broker.kill)
        for each in consumers:
            each.load.forgive(0.1)
        await asyncio.to_thread(broker.start)
        await _recovered(consumers)
        await _under_load(consumers)
        await stage.close("kill -9 of the broker", consumers, loses=_clean_or_shared)


async def test_the_broker_freezes(stage: Stage, own_mosquitto: Callable[..., Broker]) -> None:
    broker = own_mosquitto()
    async with stage.consumers(broker.port) as consumers:
        await _under_load(consumers)
        broker.freeze()
        await asyncio.sleep(1)
        broker.thaw()
        await stage.close("broker frozen for a second", consumers, breaks=False)


async def test_the_broker_freezes_for_longer_than_the_keep_alive(
    stage: Stage, own_mosquitto: Callable[..., Broker]
) -> None:
    broker = own_mosquitto()
    async with stage.consumers(broker.port, keep_alive=1) as consumers:
        await _under_load(consumers)
        broker.freeze()
        await eventually(lambda: _all_connected(consumers, connected=False), 5)
        broker.thaw()
        await _recovered(consumers)
        await _under_load(consumers)
        await stage.close("broker frozen for longer than the keep-alive", consumers, loses=_clean)


async def test_the_network_is_cut(stage: Stage, mosquitto: Broker) -> None:
    async with (
        TcpProxy("127.0.0.1", mosquitto.port) as proxy,
        stage.consumers(proxy.port, load_port=mosquitto.port) as consumers,
    ):
        cuts = 3 if WHOLE else 1
        for _ in range(cuts):
            await _under_load(consumers)
            proxy.refuse()
            proxy.cut()
            await asyncio.sleep(0.2)
            await proxy.accept()
            await _recovered(consumers)
        await stage.close("network cut", consumers, loses=_clean)


async def test_the_network_is_cut_in_the_middle_of_a_change(stage: Stage, mosquitto: Broker) -> None:
    random, cuts = Random(1), 8 if WHOLE else 2
    async with (
        TcpProxy("127.0.0.1", mosquitto.port) as proxy,
        stage.consumers(proxy.port, load_port=mosquitto.port) as consumers,
    ):
        await _under_load(consumers)
        for number in range(cuts):
            await _load(consumers, 0.1)
            await _change(consumers, proxy.port, keep_alive=30 + number)
            # A change to a new connection takes some milliseconds.
            await asyncio.sleep(random.uniform(0, 0.03))
            proxy.cut()
            await asyncio.sleep(0.1)
        # A change also ends the wait for the next try to reconnect.
        await _change(consumers, proxy.port, keep_alive=60)
        for each in consumers:
            assert each.instance
            await applied(each.instance, each.control.revision)
        await _recovered(consumers)
        await stage.close("network cut in the middle of a change", consumers, loses=_clean)


async def test_the_network_swallows_everything(stage: Stage, mosquitto: Broker) -> None:
    async with (
        TcpProxy("127.0.0.1", mosquitto.port) as proxy,
        stage.consumers(proxy.port, load_port=mosquitto.port, keep_alive=1) as consumers,
    ):
        await _under_load(consumers)
        proxy.stall()
        # Half-open: found within two keep-alives.
        await eventually(lambda: _all_connected(consumers, connected=False), 3.5)
        proxy.cut()
        proxy.resume()
        await _recovered(consumers)
        await stage.close("network swallows everything", consumers, loses=_clean)


async def test_nats_is_away(stage: Stage, own_nats: Nats, mosquitto: Broker) -> None:
    stage.place["nats_url"] = own_nats.url
    async with stage.consumers(mosquitto.port) as consumers:
        await _under_load(consumers)
        await asyncio.to_thread(own_nats.kill)
        await _under_load(consumers, 1)
        await asyncio.to_thread(own_nats.start)
        for each in consumers:
            assert each.instance
            await eventually(lambda: each.control.is_connected)  # noqa: B023 - awaited in the loop
            await each.control.put(snapshot(each.control, each.kind, mosquitto.port))
            await applied(each.instance, each.control.revision)
        await stage.close("NATS killed and back", consumers, breaks=False)


async def test_the_disk_is_full(stage: Stage, mosquitto: Broker) -> None:
    async def story(made: Consumer, _process: Command) -> None:
        await _under_load([made])
        # A newer revision cannot be kept, and is in force all the same.
        sent = await made.control.put(snapshot(made.control, made.kind, mosquitto.port))
        await eventually(lambda: made.control.heartbeats[-1].applied_revision == sent.revision)
        await _under_load([made])
        state = stage.folder / made.control.root / "state"
        assert not [file for file in state.iterdir() if file.stat().st_size]

    kinds = LASTING if WHOLE else LASTING[:1]
    found = await stage.commands(kinds, mosquitto.port, story, no_space=True)
    await stage.close("state directory on a full disk", found, breaks=False)
