"""From a PUT to the first message on a newly enabled subscription, beside the bare chain.

The bare chain is an aiohttp handler, one commit, one NATS publish, one SUBSCRIBE by a bare aiomqtt client.
Both sides take their first message from the same publisher at 1 kHz, through the same broker.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any, cast

import aiohttp
import aiomqtt
import nats
from pydantic import SecretStr

from product_instance import Event, InstanceSettings, ProductInstance

from .figures import Figure, percentile, ratio_figure

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping

    from .servers import Servers

__all__ = ["measure"]

_TOPIC = "bench/ticks"
_ROUNDS = 200
_BLOCKS = 5
_PUBLISH_SECONDS = 0.001


async def measure(servers: Servers) -> list[Figure]:
    """Median and 99th percentile of both chains, round by round in turns."""
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(_publisher(servers))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        ours = await stack.enter_async_context(_our_chain(servers, session))
        bare = await stack.enter_async_context(_bare_chain(servers, session))
        for _ in range(20):
            await ours()
            await bare()
        times: tuple[list[float], list[float]] = ([], [])
        for _ in range(_ROUNDS):
            for chain, side in zip((ours, bare), times, strict=True):
                side.append(await chain() * 1000)
    return [
        _figure("PUT to first message, median", times, 0.5, 1.5),
        _figure("PUT to first message, p99", times, 0.99, 2.0),
    ]


def _figure(name: str, times: tuple[list[float], list[float]], share: float, goal: float) -> Figure:
    size = _ROUNDS // _BLOCKS
    blocks = [
        [percentile(side[start : start + size], share) for start in range(0, _ROUNDS, size)] for side in times
    ]
    figure = ratio_figure(name, *blocks, unit="ms", at_most=goal)
    ours, floor = (percentile(side, share) for side in times)
    return Figure(
        name=name,
        ours=f"{ours:.3g} ms",
        floor=f"{floor:.3g} ms",
        ratio=ours / floor,
        spread=figure.spread,
        goal=figure.goal,
        reached=ours / floor <= goal,
    )


@contextlib.asynccontextmanager
async def _publisher(servers: Servers) -> AsyncGenerator[None]:
    process = await asyncio.create_subprocess_exec(
        *_command("benchmarks.ticks", str(servers.mqtt_port), _TOPIC, str(_PUBLISH_SECONDS))
    )
    try:
        yield
    finally:
        process.terminate()
        await process.wait()


def _command(module: str, *arguments: str) -> tuple[str, ...]:
    import sys

    return (sys.executable, "-m", module, *arguments)


@contextlib.asynccontextmanager
async def _our_chain(
    servers: Servers, session: aiohttp.ClientSession
) -> AsyncGenerator[Callable[[], Awaitable[float]]]:
    product = await servers.call("POST", "/products", {"name": "bench-chain"})
    path = f"/products/{product['id']}/mqtt-config"
    config = {
        "broker": {"host": "127.0.0.1", "port": servers.mqtt_port},
        "topics": {"use_shared": False, "qos": 0},
    }
    await servers.call("PUT", path, config)
    created = await servers.call(
        "POST",
        f"{path}/subscriptions",
        {"name": "ticks", "topic": _TOPIC, "enabled": False, "actions": [{"type": "tick"}]},
    )
    url = f"http://127.0.0.1:{servers.api_port}/api/v1{path}/subscriptions/{created['id']}"
    headers = {"Authorization": f"Bearer {servers.token}"}
    first: asyncio.Queue[float] = asyncio.Queue()
    instance = ProductInstance(
        InstanceSettings(
            product_id=product["id"],
            product_key=SecretStr(product["product_key"]),
            nats_url=servers.nats_url,
            state_dir=servers.directory / "state",
            instance_id="bench",
        )
    )

    @instance.action("tick")
    async def tick(event: Event, action: Mapping[str, Any]) -> None:  # pyright: ignore[reportUnusedFunction] - registered
        first.put_nowait(time.perf_counter())

    async def switch(*, enabled: bool) -> None:
        async with session.put(
            url, json={"enabled": enabled}, headers=headers | {"Prefer": "wait=5"} if not enabled else headers
        ) as answer:
            assert answer.status == 200, await answer.text()
            await answer.read()

    async def once() -> float:
        while not first.empty():
            first.get_nowait()
        start = time.perf_counter()
        await switch(enabled=True)
        took = await asyncio.wait_for(first.get(), 10) - start
        await switch(enabled=False)
        await _silence(first)
        return took

    async with instance:
        yield once


async def _silence(queue: asyncio.Queue[float]) -> None:
    """Wait until no message has come for a while: the subscription is gone at the broker."""
    with contextlib.suppress(TimeoutError):
        while True:
            await asyncio.wait_for(queue.get(), 0.02)


@contextlib.asynccontextmanager
async def _bare_chain(
    servers: Servers, session: aiohttp.ClientSession
) -> AsyncGenerator[Callable[[], Awaitable[float]]]:
    first: asyncio.Queue[float] = asyncio.Queue()
    bus: Any = await cast("Any", nats).connect(servers.nats_url)
    async with aiomqtt.Client("127.0.0.1", servers.mqtt_port) as client:

        async def changed(_message: Any) -> None:
            await client.subscribe(_TOPIC, qos=0)

        async def receive() -> None:
            async for _ in client.messages:
                first.put_nowait(time.perf_counter())

        receiving = asyncio.create_task(receive())
        await bus.subscribe("bare.changed", cb=changed)

        async def once() -> float:
            start = time.perf_counter()
            url = f"http://127.0.0.1:{servers.bare_port}/chain/1"
            async with session.put(url, json={"enabled": True}) as answer:
                await answer.read()
            took = await asyncio.wait_for(first.get(), 10) - start
            await client.unsubscribe(_TOPIC)
            await _silence(first)
            return took

        yield once
        receiving.cancel()
    await bus.close()
