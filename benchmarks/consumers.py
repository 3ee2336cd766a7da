"""Consumers to compare, each in a process of its own: ours, and the least that the libraries need.

`python -m benchmarks.consumers KIND JSON` prints READY when all filters are granted and runs until ended.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from .flood import SAMPLES, Board

if TYPE_CHECKING:
    from collections.abc import Mapping

    from product_instance import Event


class Given(msgspec.Struct):
    """What a consumer is told."""

    port: int
    board: str
    filters: list[str]
    qos: int
    timed: bool = False
    nats_url: str = ""
    nats_root: str = ""
    product_id: int = 1
    state_dir: str = ""


def _counter(given: Given) -> Any:
    """What is called at the start of the work on each message, with its payload."""
    board = Board(Path(given.board))
    count, seconds = board.count, board.seconds

    def plain(_payload: Any) -> None:
        count[0] += 1

    def timed(payload: Any) -> None:
        seconds[count[0] % SAMPLES] = (time.monotonic_ns() - int(payload)) / 1e9
        count[0] += 1

    return timed if given.timed else plain


def _ready() -> None:
    print("READY", flush=True)


def paho(given: Given) -> None:
    """A bare paho loop: acknowledges by itself, before the work."""
    from paho.mqtt.client import Client
    from paho.mqtt.enums import CallbackAPIVersion

    started = _counter(given)
    client: Any = Client(CallbackAPIVersion.VERSION2, "bench-paho")

    def connected(*_: Any) -> None:
        client.subscribe([(each, given.qos) for each in given.filters])

    def subscribed(*_: Any) -> None:
        _ready()

    def received(_client: Any, _userdata: Any, message: Any) -> None:
        started(message.payload)

    client.on_connect, client.on_subscribe, client.on_message = connected, subscribed, received
    client.connect("127.0.0.1", given.port)
    client.loop_forever()


async def aiomqtt(given: Given) -> None:
    """aiomqtt's own iterator: acknowledges by itself, before the work."""
    import aiomqtt as library

    started = _counter(given)
    async with library.Client("127.0.0.1", given.port, identifier="bench-aiomqtt") as client:
        await client.subscribe([(each, given.qos) for each in given.filters])
        _ready()
        async for message in client.messages:
            started(message.payload)


async def instance(given: Given) -> None:
    """The whole library: the configuration from NATS, routing, one action, acknowledged after it."""
    from product_instance import InstanceSettings, ProductInstance

    started = _counter(given)
    ours = ProductInstance(
        InstanceSettings(
            nats_url=given.nats_url,
            nats_root=given.nats_root,
            product_id=given.product_id,
            state_dir=Path(given.state_dir),
            instance_id=f"bench-{os.getpid()}",
        )
    )

    @ours.action("noop")
    async def noop(event: Event, _action: Mapping[str, Any]) -> None:  # pyright: ignore[reportUnusedFunction] - registered
        started(event.payload)

    async with ours:
        while ours.heartbeat().subscribed_topics_count < len(given.filters):
            await asyncio.sleep(0.02)
        _ready()
        await ours.run()


def mosquitto_sub(given: Given) -> None:
    """The broker's own client in C; prints a line for each message, which is counted here."""
    board = Board(Path(given.board))
    words = ["mosquitto_sub", "-p", str(given.port), "-q", str(given.qos), "-F", "x"]
    for each in given.filters:
        words += ["-t", each]
    process = subprocess.Popen(words, stdout=subprocess.PIPE)

    def end(*_: Any) -> None:
        process.kill()

    signal.signal(signal.SIGTERM, end)
    assert process.stdout
    # It does not tell when it has subscribed.
    time.sleep(0.5)
    _ready()
    while data := os.read(process.stdout.fileno(), 65_536):
        board.count[0] += data.count(b"\n")
    process.wait()


def main() -> None:
    """Run the kind that is asked for."""
    kind, given = sys.argv[1], msgspec.json.decode(sys.argv[2], type=Given)
    kinds = {"paho": paho, "aiomqtt": aiomqtt, "instance": instance, "mosquitto_sub": mosquitto_sub}
    if work := kinds[kind](given):
        asyncio.run(work)


if __name__ == "__main__":
    main()
