"""REST reads and writes beside a bare aiohttp handler with one asyncpg query."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import msgspec

from .figures import Figure, ratio_figure
from .load import request_bytes, requests_per_second

if TYPE_CHECKING:
    from collections.abc import Callable

    from .servers import Servers

__all__ = ["compare", "measure"]

_PRODUCTS = 32
_ROUNDS = 7
_WARM_UP_SECONDS = 1.0


async def measure(servers: Servers) -> list[Figure]:
    """Reads and writes, our rounds and the floor's in turns."""
    ids = [await _product(servers, number) for number in range(_PRODUCTS)]
    return [await _reads(servers, ids), await _writes(servers, ids)]


async def _product(servers: Servers, number: int) -> int:
    product = await servers.call("POST", "/products", {"name": f"bench-{number}"})
    path = f"/products/{product['id']}/mqtt-config"
    await servers.call("PUT", path, {"broker": {"host": "broker.example.com", "password": "made-up"}})
    for name in ("order_created", "order_paid", "order_shipped"):
        await servers.call("POST", f"{path}/subscriptions", {"name": name})
    return int(product["id"])


async def _reads(servers: Servers, ids: list[int]) -> Figure:
    ours = itertools.cycle(
        [request_bytes("GET", f"/api/v1/products/{i}/mqtt-config", servers.token) for i in ids]
    )
    floor = itertools.cycle([request_bytes("GET", f"/read/{i}") for i in range(1, _PRODUCTS + 1)])
    return await compare(servers, "GET mqtt-config", ours.__next__, floor.__next__)


async def _writes(servers: Servers, ids: list[int]) -> Figure:
    numbers = itertools.count()

    def ours() -> bytes:
        number = next(numbers)
        broker = {"host": "broker.example.com", "keep_alive": 10 + number // _PRODUCTS % 3000}
        path = f"/api/v1/products/{ids[number % _PRODUCTS]}/mqtt-config"
        return request_bytes("PUT", path, servers.token, msgspec.json.encode({"broker": broker}))

    floor = itertools.cycle(
        [request_bytes("PUT", f"/write/{i}", body=b'{"broker": {}}') for i in range(1, _PRODUCTS + 1)]
    )
    return await compare(servers, "PUT mqtt-config", ours, floor.__next__)


async def compare(
    servers: Servers,
    name: str,
    ours: Callable[[], bytes],
    floor: Callable[[], bytes],
    *,
    at_least: float = 0.6,
) -> Figure:
    """The service's answers a second beside those of the bare handlers, in turns."""
    sides = ((servers.api_port, ours), (servers.bare_port, floor))
    rates: tuple[list[float], list[float]] = ([], [])
    for port, make in sides:
        await requests_per_second(port, make, seconds=_WARM_UP_SECONDS)
    for _ in range(_ROUNDS):
        for (port, make), side in zip(sides, rates, strict=True):
            side.append(await requests_per_second(port, make))
    return ratio_figure(name, *rates, unit="answers/s", at_least=at_least)
