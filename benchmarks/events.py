"""From a heartbeat to the server-sent event of its figures, through the collector and config-service."""

from __future__ import annotations

import asyncio
import random
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import aiohttp
import nats
from msgspec import json

from mqtt_shared.messages import Counters, Heartbeat, StatusChanged, encode
from mqtt_shared.subjects import Subjects

from .figures import Figure, limit_figure, percentile
from .servers import collector

if TYPE_CHECKING:
    from .servers import Servers

__all__ = ["measure"]

_PRODUCTS = 50
_HEARTBEATS = 600
_ROUNDS = 3
_PER_SECOND = 100
_LIMIT_MS = 500.0
"""The flush interval, and 250 ms."""


async def measure(servers: Servers) -> list[Figure]:
    """The 99th percentile of each round, beside its limit."""
    subscribed = [await _subscription(servers, number) for number in range(_PRODUCTS)]
    async with collector(servers):
        heard = _Heard(servers)
        listening = asyncio.create_task(heard.listen())
        client: Any = await cast("Any", nats).connect(servers.nats_url)
        await heard.connected.wait()
        rounds = [await _round(client, heard, subscribed, first) for first in range(_ROUNDS)]
        listening.cancel()
        await client.close()
    return [limit_figure("Heartbeat to event, p99", rounds, _LIMIT_MS, "ms")]


async def _subscription(servers: Servers, number: int) -> tuple[int, str]:
    product = await servers.call("POST", "/products", {"name": f"events {number:03}"})
    path = f"/products/{product['id']}/mqtt-config"
    await servers.call("PUT", path, {"broker": {"host": "broker.example.com"}})
    made = await servers.call("POST", f"{path}/subscriptions", {"name": "orders", "topic": "orders"})
    return product["id"], str(made["id"])


class _Heard:
    """When which count of a product was heard, in milliseconds after its heartbeat was sent."""

    def __init__(self, servers: Servers) -> None:
        self._servers = servers
        self._sent = dict[tuple[int, int], float]()
        self.connected = asyncio.Event()
        self.took = list[float]()

    def sent(self, product_id: int, count: int) -> None:
        """A heartbeat is about to be sent."""
        self._sent[product_id, count] = time.perf_counter()

    async def listen(self) -> None:
        """Read the stream of events until cancelled."""
        url = f"http://127.0.0.1:{self._servers.api_port}/api/v1/events"
        headers = {"Authorization": f"Bearer {self._servers.token}"}
        timeout = aiohttp.ClientTimeout(total=None)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(url, headers=headers) as answer,
        ):
            self.connected.set()
            kind = b""
            async for line in answer.content:
                if line.startswith(b"event: "):
                    kind = line[7:].strip()
                elif line.startswith(b"data: ") and kind == b"status":
                    self._note(json.decode(line[6:], type=StatusChanged))

    def _note(self, event: StatusChanged) -> None:
        now = time.perf_counter()
        counted = event.status.messages_received or 0
        for key in [key for key in self._sent if key[0] == event.product_id and key[1] <= counted]:
            self.took.append((now - self._sent.pop(key)) * 1000)


async def _round(client: Any, heard: _Heard, subscribed: list[tuple[int, str]], first: int) -> float:
    heard.took.clear()
    for number in range(_HEARTBEATS):
        product_id, subscription = subscribed[number % _PRODUCTS]
        count = 1 + (first * _HEARTBEATS + number) // _PRODUCTS
        beat = _heartbeat(product_id, subscription, count)
        heard.sent(product_id, count)
        await client.publish(Subjects().heartbeat(product_id, beat.instance_id, beat.boot_id), encode(beat))
        await asyncio.sleep(random.expovariate(_PER_SECOND))
    async with asyncio.timeout(30):
        while len(heard.took) < _HEARTBEATS:
            await asyncio.sleep(0.01)
    return percentile(heard.took, 0.99)


def _heartbeat(product_id: int, subscription: str, count: int) -> Heartbeat:
    now = datetime.now(UTC)
    return Heartbeat(
        product_id=product_id,
        instance_id="one",
        boot_id="0197f0a0-1111-7000-8000-000000000001",
        seq=count,
        sent_at=now,
        started_at=now,
        connected=True,
        counters={subscription: Counters(messages_received=count, last_message_at=now)},
    )
