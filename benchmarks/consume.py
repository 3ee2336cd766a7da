"""How fast an instance consumes, beside bare clients on the same broker in the same run.

`python -m benchmarks.consume [ROW...]` measures these rows alone, without PostgreSQL and the services.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import statistics
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click
from msgspec import Struct

from deploy.local.broker import OPEN_TO_ALL, Mosquitto, mosquitto_program
from deploy.local.kept import free_port
from deploy.local.nats import Nats
from deploy.local.process import Guard
from mqtt_shared import bus
from mqtt_shared.messages import Broker, Snapshot, Subscription, Topics, encode
from mqtt_shared.subjects import Subjects

from .figures import Figure, percentile, ratio_figure, table
from .flood import SAMPLES, Board

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Sequence

__all__ = ["measure"]

_SUBSCRIPTIONS = 20
_MANY = 1_000
_ROUNDS = int(os.environ.get("ROUNDS", "5"))
_SECONDS = 1.5
_TICKS = 1_000
_TICK_SECONDS = 2.5
_SOAK_SECONDS = float(os.environ.get("SOAK_SECONDS", "12"))
_IDLE_SECONDS = 10.0
_ROOT = "bench-consume"
_BYTES = 64


class _Place(Struct, kw_only=True):
    """The servers of this run."""

    directory: Path
    nats_url: str
    port: int
    prompt_port: int
    """Of a broker that does not gather small packets (Nagle): for times, not for rates."""
    products: int = 0


class _Consumer(Struct, kw_only=True):
    """A running consumer."""

    port: int
    pid: int
    board: Board
    board_path: Path
    topics: list[str]
    qos: int

    async def flood(self, seconds: float = _SECONDS) -> dict[str, float]:
        """See `flood.flood`; `cpu` is the consumer's CPU time per message in µs."""
        before = _cpu_seconds(self.pid)
        result = await self._publish(seconds, rate=0)
        result["cpu"] = (_cpu_seconds(self.pid) - before) / max(1, result["taken"]) * 1e6
        return result

    async def tick(self) -> float:
        """99th percentile from publishing to the start of the work, in ms, at a steady rate."""
        first = self.board.count[0]
        result = await self._publish(_TICK_SECONDS, rate=_TICKS)
        if result["taken"] != result["sent"]:
            raise RuntimeError(f"not every message came: {result}")
        last = self.board.count[0]
        return percentile([self.board.seconds[at % SAMPLES] for at in range(first, last)], 0.99) * 1000

    async def _publish(self, seconds: float, *, rate: float) -> dict[str, float]:
        given = {
            "port": self.port,
            "board": str(self.board_path),
            "topics": self.topics,
            "qos": self.qos,
            "size": _BYTES,
            "seconds": seconds,
            "rate": rate,
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "benchmarks.flood", json.dumps(given), stdout=asyncio.subprocess.PIPE
        )
        output, _ = await process.communicate()
        assert process.returncode == 0
        return json.loads(output)


def _cpu_seconds(pid: int) -> float:
    """CPU time of all threads of a process; 0 where the system does not tell."""
    try:
        # proc(5): nanoseconds on the CPU.
        threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
        return sum(int(each.read_text().split()[0]) for each in threads) / 1e9
    except OSError:
        return 0.0


def _resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@contextlib.asynccontextmanager
async def _consumer(
    place: _Place,
    kind: str,
    *,
    qos: int = 1,
    filters: Sequence[str] = (),
    topics: Sequence[str] = (),
    timed: bool = False,
) -> AsyncGenerator[_Consumer]:
    """Start a consumer and wait until its filters are granted."""
    place.products += 1
    number = place.products
    own = [f"bench/{number}/{at}" for at in range(_SUBSCRIPTIONS)]
    filters, topics = filters or own, topics or own
    board_path = place.directory / f"board-{number}"
    board = Board(board_path)
    port = place.prompt_port if timed else place.port
    given: dict[str, Any] = {
        "port": port,
        "board": str(board_path),
        "filters": list(filters),
        "qos": qos,
        "timed": timed,
        "nats_url": place.nats_url,
        "nats_root": _ROOT,
        "product_id": number,
        "state_dir": str(place.directory / "state"),
    }
    if kind == "instance":
        await _configure(place.nats_url, number, port, filters, qos)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmarks.consumers",
        kind,
        json.dumps(given),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "LOG_LEVEL": "warning"},
    )
    assert process.stdout
    try:
        async with asyncio.timeout(30):
            while (line := await process.stdout.readline()) != b"READY\n":
                assert line, f"{kind} ended"
        yield _Consumer(
            port=port, pid=process.pid, board=board, board_path=board_path, topics=list(topics), qos=qos
        )
    finally:
        if process.returncode is None:
            process.kill() if kind != "mosquitto_sub" else process.terminate()
        await process.wait()


async def _configure(nats_url: str, product_id: int, port: int, filters: Sequence[str], qos: int) -> None:
    """The configuration of a product, where config_service would put it."""
    snapshot = Snapshot(
        product_id=product_id,
        revision=1,
        issued_at=datetime.now(UTC),
        broker=Broker(host="127.0.0.1", port=port),
        topics=Topics(use_shared=False, shared_group=None, qos=qos),
        subscriptions=[
            Subscription(id=at + 1, name=f"s{at}", topic=each, actions=[{"type": "noop"}])
            for at, each in enumerate(filters)
        ],
    )
    client = await bus.connect(nats_url, "bench")
    js = cast("Any", client).jetstream()
    bucket = await js.create_key_value(bucket=Subjects(_ROOT).bucket, direct=True)
    await bucket.put(str(product_id), encode(snapshot))
    await client.close()


# The rows


async def _rates(place: _Place, qos: int) -> list[Figure]:
    """Rate of an instance beside each bare client, in turns."""
    kinds = ["instance", "paho", "aiomqtt"]
    if shutil.which("mosquitto_sub"):
        kinds.append("mosquitto_sub")
    else:
        click.echo("mosquitto_sub is not measured: install the system package mosquitto-clients", err=True)
    async with contextlib.AsyncExitStack() as stack:
        running = {kind: await stack.enter_async_context(_consumer(place, kind, qos=qos)) for kind in kinds}
        results: dict[str, list[dict[str, float]]] = {kind: [] for kind in kinds}
        for _ in range(_ROUNDS):
            for kind, consumer in running.items():
                results[kind].append(await consumer.flood())
    goals = {"paho": 1.0, "aiomqtt": 3.0, "mosquitto_sub": 0.0}
    return [
        _rate_figure(f"consume QoS {qos} beside {kind}", results["instance"], results[kind], goals[kind])
        for kind in kinds[1:]
    ]


def _rate_figure(
    name: str, ours: Sequence[dict[str, float]], floor: Sequence[dict[str, float]], goal: float
) -> Figure:
    figure = ratio_figure(
        name, [each["rate"] for each in ours], [each["rate"] for each in floor], unit="msg/s", at_least=goal
    )
    return Figure(
        name=name,
        ours=f"{figure.ours}, {_cpu(ours)}",
        floor=f"{figure.floor}, {_cpu(floor)}",
        ratio=figure.ratio,
        spread=figure.spread,
        goal=figure.goal if goal else "to close in on",
        reached=figure.reached or not goal,
    )


def _cpu(rounds: Sequence[dict[str, float]]) -> str:
    """CPU time per message: steadier than the rate where others use the machine too."""
    return f"{statistics.median(each['cpu'] for each in rounds):.3g} µs CPU"


async def _qos1(place: _Place) -> list[Figure]:
    return await _rates(place, 1)


async def _qos0(place: _Place) -> list[Figure]:
    return await _rates(place, 0)


async def _latency(place: _Place) -> list[Figure]:
    async with (
        _consumer(place, "instance", timed=True) as ours,
        _consumer(place, "paho", timed=True) as bare,
    ):
        times: tuple[list[float], list[float]] = ([], [])
        for _ in range(_ROUNDS):
            times[0].append(await ours.tick())
            times[1].append(await bare.tick())
    return [ratio_figure("publish to action start at 1,000 msg/s, p99", *times, unit="ms", at_most=2.0)]


async def _routing(place: _Place) -> list[Figure]:
    """The same 1,000 topics through a subscription each, and all through one."""
    names = [f"bench/routing/{at}/x" for at in range(_MANY)]
    async with (
        _consumer(place, "instance", filters=[f"many/{each}" for each in names]) as many,
        _consumer(place, "instance", filters=["one/bench/routing/+/x"]) as one,
    ):
        many.topics, one.topics = [f"many/{each}" for each in names], [f"one/{each}" for each in names]
        results: tuple[list[dict[str, float]], list[dict[str, float]]] = ([], [])
        for _ in range(_ROUNDS):
            results[0].append(await many.flood())
            results[1].append(await one.flood())
    return [_rate_figure("1,000 subscriptions beside one", *results, 0.8)]


async def _memory(place: _Place) -> list[Figure]:
    """Resident memory under full load: at the end beside after a tenth of the time."""
    async with _consumer(place, "instance") as ours:
        await ours.flood(max(_SECONDS, _SOAK_SECONDS / 10))
        before = _resident_bytes(ours.pid)
        await ours.flood(_SOAK_SECONDS)
        after = _resident_bytes(ours.pid)
    name = f"memory after {_SOAK_SECONDS:g} s of full load"
    megabytes = ([after / 2**20], [before / 2**20])
    return [ratio_figure(name, *megabytes, unit="MiB", at_most=1.05)]


async def _idle(place: _Place) -> list[Figure]:
    """CPU of an instance without messages, as a share of one core."""
    async with _consumer(place, "instance") as ours:
        await asyncio.sleep(1)
        before = _cpu_seconds(ours.pid)
        await asyncio.sleep(_IDLE_SECONDS)
        share = (_cpu_seconds(ours.pid) - before) / _IDLE_SECONDS * 100
    return [ratio_figure("idle instance, CPU", [share], [0.5], unit="% of a core", at_most=1.0)]


_ROWS: dict[str, Callable[[_Place], Coroutine[Any, Any, list[Figure]]]] = {
    "qos1": _qos1,
    "qos0": _qos0,
    "latency": _latency,
    "routing": _routing,
    "memory": _memory,
    "idle": _idle,
}


async def measure(rows: Sequence[str] = tuple(_ROWS)) -> list[Figure]:
    """The rows of these names; none where Mosquitto is not installed."""
    if mosquitto_program() is None:
        click.echo("consuming is not measured: install the system package mosquitto", err=True)
        return []
    with tempfile.TemporaryDirectory(prefix="bench-") as directory, _servers(Path(directory)) as place:
        return [figure for row in rows for figure in await _ROWS[row](place)]


@contextlib.contextmanager
def _servers(directory: Path) -> Generator[_Place]:
    guard = Guard()
    plain = Mosquitto(directory / "plain", guard, free_port(), directory / "plain.log")
    prompt = Mosquitto(
        directory / "prompt",
        guard,
        free_port(not_these=[plain.port]),
        directory / "prompt.log",
        lines=[*OPEN_TO_ALL, "set_tcp_nodelay true"],
    )
    nats = Nats(directory / "nats", guard, free_port(), directory / "nats.log")
    servers = (plain, prompt, nats)
    try:
        for server in servers:
            server.start()
        yield _Place(directory=directory, nats_url=nats.url, port=plain.port, prompt_port=prompt.port)
    finally:
        for server in servers:
            server.stop()
        guard.close()


@click.command()
@click.argument("rows", nargs=-1, type=click.Choice(list(_ROWS)))
def main(rows: tuple[str, ...]) -> None:
    """Measure these rows, or all."""
    click.echo(table(asyncio.run(measure(rows or tuple(_ROWS)))))


if __name__ == "__main__":
    main()
