"""Consumers under load whose surroundings break: in this process, or as the command in one of its own."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import resource
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from mqtt_shared.messages import Broker, Subscription, Topics
from product_instance import ProductInstance
from tests.product_instance.conftest import PRODUCT, Control, applied, with_actions
from tests.support.waiting import eventually

from .books import COLLECT, Books
from .load import Load

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Set

    from mqtt_shared.messages import Snapshot

    from .load import Sent


class Kind(Struct, frozen=True, kw_only=True):
    """How a consumer is configured."""

    session: str
    shared: bool
    protocol: str
    login: tuple[str, str] | None = None
    """User and password at the broker."""

    @property
    def words(self) -> dict[str, str]:
        """As they stand in a row."""
        topics = "shared" if self.shared else "plain"
        return {"session": self.session, "topics": topics, "protocol": self.protocol}


class Consumer(Struct, kw_only=True):
    """One at work."""

    kind: Kind
    control: Control
    load: Load
    books: Books
    instance: ProductInstance | None = None
    command: Command | None = None
    recovered_at: float = math.inf
    """When it was back at work, on the loop's clock."""

    async def finish(self) -> None:
        """Rest until all that was published is done, and the broker knows."""
        instance, command = self.instance, self.command
        if instance:
            await self.books.finish(
                lambda: instance.heartbeat().connected_since,
                lambda: instance.publish(f"{self.control.root}/nothing", b"", qos=1),
            )
        elif command:
            await self.books.finish(lambda: self.control.heartbeats[-1].connected_since, command.told)


def snapshot(control: Control, kind: Kind, port: int, keep_alive: int = 60) -> Snapshot:
    """A configuration with two subscriptions."""
    broker = Broker(
        host="127.0.0.1",
        port=port,
        username=kind.login and kind.login[0],
        keep_alive=keep_alive,
        clean_session=kind.session != "persistent",
        protocol="5" if kind.protocol == "5" else "3.1.1",
        session_expiry_seconds=600,
    )
    topics = Topics(use_shared=kind.shared, shared_group=control.root if kind.shared else None)
    subscriptions = [
        with_actions(Subscription(id=at, name=f"s{at}", topic=topic), COLLECT)
        for at, topic in enumerate(_topics(control.root), start=1)
    ]
    return control.snapshot(broker, *subscriptions, topics=topics)


def _topics(name: str) -> list[str]:
    return [f"{name}/steady", f"{name}/other"]


@asynccontextmanager
async def _prepared(
    kind: Kind,
    name: str,
    nats_url: str,
    port: int,
    load_port: int,
    keep_alive: int,
    acknowledged: Set[Sent] | None = None,
) -> AsyncGenerator[Consumer]:
    control = Control(nats_url, name)
    await control.open()
    try:
        async with Load(load_port, _topics(name)) as load:
            await control.put(snapshot(control, kind, port, keep_alive), kind.login and kind.login[1])
            yield Consumer(
                kind=kind, control=control, load=load, books=Books(load, acknowledged=acknowledged)
            )
    finally:
        await control.close()


@asynccontextmanager
async def consumer(
    kind: Kind,
    name: str,
    nats_url: str,
    port: int,
    folder: Path,
    *,
    load_port: int | None = None,
    keep_alive: int = 60,
    acknowledged: Set[Sent] | None = None,
) -> AsyncGenerator[Consumer]:
    """An instance in this process, consuming; the publisher may take another way to the broker."""
    async with _prepared(kind, name, nats_url, port, load_port or port, keep_alive, acknowledged) as made:
        settings = made.control.settings(
            folder / name, instance_id=name, heartbeat_interval_seconds=5, connect_timeout_seconds=2
        )
        made.instance = ProductInstance(settings)
        made.instance.action("collect")(made.books.collect)
        async with made.instance:
            await applied(made.instance, made.control.revision)
            made.load.expect(made.load.topics)
            yield made


_ACTIONS = f"""
import asyncio, os
def register(actions):
    @actions.action("collect")
    async def collect(event, action):
        os.write(1, f"{{event.topic}} {{event.payload}}\\n".encode())
        await asyncio.sleep({0.006})
"""


class Command:
    """`product-instance` as a process, which tells each action in its output."""

    def __init__(self, made: Consumer, folder: Path, *, no_space: bool = False) -> None:
        self._made = made
        self._no_space = no_space
        self._noted_before = 0
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "collecting.py").write_text(_ACTIONS)
        self._environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{folder}:{Path(__file__).parents[2]}:{Path(__file__).parents[2] / 'shared'}",
            "NATS_URL": made.control.url,
            "NATS_ROOT": made.control.root,
            "PRODUCT_ID": str(PRODUCT),
            "PRODUCT_KEY": made.control.key,
            "INSTANCE_ID": made.control.root,
            "STATE_DIR": str(folder / "state"),
            "ACTIONS": "collecting",
            "HEARTBEAT_INTERVAL_SECONDS": "0.2",
        }

    async def start(self) -> None:
        """Start it and wait until it consumes."""
        self._made.control.heartbeats.clear()
        self._noted_before = self._made.books.seen.total()
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "product_instance",
            env=self._environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            preexec_fn=_fill_the_disk if self._no_space else None,
        )
        self._reading = asyncio.create_task(self._read(self._process))
        await eventually(lambda: any(each.connected for each in self._made.control.heartbeats), 30)

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout
        async for line in process.stdout:
            topic, payload = line.decode().split()
            self._made.books.note(topic, payload)
            self._made.books.end(topic, payload)

    async def told(self) -> None:
        """Wait for a heartbeat that counts all actions: each is acknowledged by then. Others are published
        meanwhile, and the broker reads from each connection in turn.
        """
        books, load = self._made.books, self._made.load
        await eventually(lambda: self._executed() == books.seen.total() - self._noted_before)
        load.burst(10)
        await load.flushed()

    def _executed(self) -> int:
        return sum(each.actions_executed for each in self._made.control.heartbeats[-1].counters.values())

    async def stop(self) -> int | None:
        """SIGTERM; its exit code."""
        assert self._process
        assert self._reading
        self._process.terminate()
        await self._reading
        await self._process.wait()
        return self._process.returncode

    async def kill(self) -> None:
        """kill -9; what it had told by then is read to the end."""
        if self._process and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
        if self._reading:
            await self._reading


def _fill_the_disk() -> None:
    # No file can grow: writing fails as on a full disk, whoever runs the tests.
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


@asynccontextmanager
async def command(
    kind: Kind, name: str, nats_url: str, port: int, folder: Path, **options: Any
) -> AsyncGenerator[tuple[Consumer, Command]]:
    """The command as a process, consuming."""
    async with _prepared(kind, name, nats_url, port, port, 60) as made:
        made.command = started = Command(made, folder / name, **options)
        try:
            await started.start()
            made.load.expect(made.load.topics)
            yield made, started
        finally:
            await started.kill()
