"""A named secret on its way from the API to the header of a request, and nowhere else."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from mqtt_shared import bus
from tests.support.servers import fetch_value
from tests.support.waiting import eventually

from .conftest import System, publish

if TYPE_CHECKING:
    from tests.support.servers import Broker

FIRST, SECOND = "made-up-value-one-0123456789", "made-up-value-two-0123456789"


class Receiver:
    """An endpoint that takes one token alone."""

    def __init__(self, accepted: str) -> None:
        self.accepted = accepted
        self.authorizations: list[str] = []
        app = web.Application()
        app.router.add_post("/hook", self._hook)
        self.server = TestServer(app)

    async def _hook(self, request: web.Request) -> web.Response:
        authorization = request.headers.get("Authorization", "")
        self.authorizations.append(authorization)
        # A receiver that quotes what it got, as some do in their errors.
        return web.Response(status=204 if authorization == self.accepted else 403, text=authorization)


async def test_a_secret_reaches_the_receiver_and_nobody_else(system: System, mosquitto: Broker) -> None:
    heard: list[bytes] = []

    async def hear(message: Any) -> None:
        heard.append(bytes(message.data))

    listener: Any = await bus.connect(system.nats_url, "test")
    await listener.subscribe(">", cb=hear)
    receiver = Receiver(f"Bearer {FIRST}")
    await receiver.server.start_server()
    await system.call("PUT", system.path, {"broker": {"host": "127.0.0.1", "port": mosquitto.port}})
    secret = f"/products/{system.product['id']}/secrets/orders_token"
    await system.call("PUT", secret, {"value": FIRST})
    topic = f"{system.common['NATS_ROOT']}/{secrets.token_hex(4)}"
    config = {
        "url": str(receiver.server.make_url("/hook")),
        "headers": {"Authorization": "Bearer {{ secrets.orders_token }}"},
    }
    action = {"type": "http_webhook", "config": config}
    await system.call(
        "POST", f"{system.path}/subscriptions", {"name": "orders", "topic": topic, "actions": [action]}
    )
    instance = await system.start_instance("one")

    await publish(mosquitto.port, topic, range(1))
    await eventually(lambda: receiver.authorizations == [f"Bearer {FIRST}"])

    # A new value is live without a restart; the receiver, which does not know it yet, refuses the message.
    answer = await system.call("PUT", secret, {"value": SECOND}, Prefer="wait=10")
    assert (answer["rollout"]["applied"], answer["effect"]["secrets_changed"]) == (1, ["orders_token"])
    await publish(mosquitto.port, topic, range(1))

    async def has_failed() -> bool:
        (found,) = (await system.call("GET", f"{system.path}/subscriptions"))["subscriptions"]
        return found["stats"]["actions_failed"] == 1

    await eventually(has_failed)
    receiver.accepted = f"Bearer {SECOND}"
    await publish(mosquitto.port, topic, range(1))
    await eventually(lambda: receiver.authorizations[1:] == [f"Bearer {SECOND}"] * 2)

    await receiver.server.close()
    await asyncio.to_thread(instance.stop)
    await listener.close()
    url = system.services["DATABASE_URL"]
    tables = await fetch_value(url, "select array_agg(tablename) from pg_tables where schemaname = 'public'")
    rows = [await fetch_value(url, f"select string_agg(t::text, '') from {table} t") for table in tables]
    files = [path for path in system.directory.rglob("*") if path.is_file()]
    logs = [process.output() for process in (instance, system.config_service, system.collector)]
    # Each place has something in it, else the search proves nothing.
    assert any("snapshot" in path.name for path in files)
    assert any(b"orders_token" in message for message in heard)
    assert all(logs)
    assert any("orders_token" in (text or "") for text in rows)
    texts = [
        *(text for text in rows if text),
        *(message.decode(errors="replace") for message in heard),
        *(path.read_text(errors="replace") for path in files),
        *logs,
    ]
    assert not [text[:200] for text in texts if FIRST in text or SECOND in text]
