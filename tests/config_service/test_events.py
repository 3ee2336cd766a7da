"""Server-sent events: what comes, to whom, going on after a break, slow clients, stopping."""

from __future__ import annotations

import asyncio
import json
import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from config_service.routes import events
from config_service.routing import SERVICE
from mqtt_shared import bus, messages
from mqtt_shared.subjects import Subjects
from tests.support.waiting import eventually

from .http import ADMIN_TOKEN, CONFIG, KEY, Api, serving, settings

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from aiohttp import ClientResponse

    from config_service.feed import Feed
    from deploy.local.nats import Nats
    from tests.support.processes import Processes


class Events:
    """An open stream, read event by event."""

    def __init__(self, response: ClientResponse) -> None:
        self.response = response
        self.last_id = ""
        self.seen = list[tuple[str, Any]]()

    async def one(self) -> tuple[str, Any] | None:
        """Name and data of the next event; null at the end."""
        fields = dict[str, str]()
        while line := await self.response.content.readline():
            text = line.decode().rstrip("\n")
            if not text and "data" in fields:
                self.last_id = fields.get("id", self.last_id)
                event = fields["event"], json.loads(fields["data"])
                self.seen.append(event)
                return event
            name, _, value = text.partition(": ")
            fields[name or "comment"] = value
        return None

    async def until(self, name: str, fits: Callable[[Any], bool] = bool) -> Any:
        """The data of the next event of that name that fits."""
        async with asyncio.timeout(15):
            while event := await self.one():
                if event[0] == name and fits(event[1]):
                    return event[1]
        raise AssertionError(f"the stream ended without {name}")


@asynccontextmanager
async def stream(api: Api, query: str = "", **headers: str) -> AsyncGenerator[Events]:
    """A stream that has said that it is there."""
    headers = {"Authorization": f"Bearer {api.token}", **headers}
    async with api.client.get(f"/api/v1/events{query}", headers=headers) as response:
        assert response.status == 200, await response.text()
        assert response.content_type == "text/event-stream"
        yield Events(response)


def feed_of(api: Api) -> Feed:
    server: Any = api.client.server
    return server.app[SERVICE].feed


def status(product_id: int, **counts: int) -> messages.StatusChanged:
    return messages.StatusChanged(
        product_id=product_id,
        status=messages.ProductStatus(
            product_id=product_id, connected=True, instances=messages.InstanceCounts(**counts)
        ),
    )


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look often at what is looked at with every ping."""
    monkeypatch.setattr(events, "_PING_SECONDS", 0.2)


@pytest.fixture
async def api(database_url: str, nats_server: Nats, nats_root: str) -> AsyncGenerator[Api]:
    async with serving(settings(database_url, nats_server.url, nats_root)) as api:
        yield api


@pytest.fixture
async def collector(nats_server: Nats, nats_root: str) -> AsyncGenerator[Callable[[int, bytes], Any]]:
    """Publishes a status as a collector does."""
    client: Any = await bus.connect(nats_server.url, "collector")

    async def publish(product_id: int, payload: bytes) -> None:
        await client.publish(Subjects(nats_root).status(product_id), payload)
        await client.flush()

    yield publish
    await client.close()


async def test_changes_come_in_order(api: Api, collector: Any) -> None:
    async with stream(api) as seen:
        assert (await seen.until("ping"))["nats"] is True
        product = await api.product("shop")
        assert await seen.until("product") == {"product_id": product, "name": "shop", "action": "created"}
        await api.json("PUT", f"/products/{product}/mqtt-config", CONFIG)
        change = await seen.until("config")
        assert change["changed_at"].endswith("Z")
        assert {k: v for k, v in change.items() if k != "changed_at"} == {
            "product_id": product,
            "revision": 1,
            "changed_by": "administrator",
            "action": "put_config",
        }
        rollout = await seen.until("rollout", lambda data: data["complete"])
        assert (rollout["desired_revision"], rollout["published_revision"], rollout["total"]) == (1, 1, 0)
        assert "instances" not in rollout
        message = status(product, live=1, applied=1)
        await collector(product, messages.encode(message))
        assert await seen.until("status") == json.loads(messages.encode(message))
        # Its counts are other ones than before.
        assert await seen.until("rollout")
        await api.json("PATCH", f"/products/{product}", {"variables": {"application_id": "a"}})
        assert (await seen.until("product"))["action"] == "updated"
        await api.json("POST", f"/products/{product}/product-key", status=201)
        assert (await seen.until("product"))["action"] == "updated"
        await api.call("DELETE", f"/products/{product}/product-key/previous")
        assert (await seen.until("product"))["action"] == "updated"
        await api.json("DELETE", f"/products/{product}/mqtt-config")
        assert (await seen.until("config", lambda data: data["revision"] == 3))["action"] == "delete_config"
        await api.call("DELETE", f"/products/{product}")
        assert (await seen.until("product"))["action"] == "deleted"
    # Each change was told once.
    revisions = [data["revision"] for name, data in seen.seen if name == "config"]
    assert revisions == [1, 2, 3]


async def test_every_replica_tells_of_every_change(
    api: Api, database_url: str, nats_server: Nats, nats_root: str
) -> None:
    async with (
        serving(settings(database_url, nats_server.url, nats_root)) as replica,
        stream(replica) as seen,
    ):
        product = await api.configured("shop")
        assert (await seen.until("product"))["name"] == "shop"
        assert (await seen.until("config"))["product_id"] == product
        assert (await seen.until("rollout", lambda data: data["complete"]))["desired_revision"] == 1


async def test_a_client_hears_of_its_products_alone(api: Api, collector: Any) -> None:
    own, other = await api.product("own"), await api.product("other")
    limited = await api.token_for("viewer", [own])
    assert (await limited.call("GET", f"/events?product_id={other}")).status == 403
    assert (await api.call("GET", "/events?product_id=77")).status == 404
    async with stream(limited) as seen, stream(api, f"?product_id={own}") as filtered:
        for name in ("first", "second"):
            for product in (other, own):
                await api.json("PATCH", f"/products/{product}", {"description": name})
                await collector(product, messages.encode(status(product)))
        for each in (seen, filtered):
            await each.until("status")
            await each.until("status")
    for each in (seen, filtered):
        assert {data["product_id"] for name, data in each.seen if name != "ping"} == {own}


async def test_a_stream_goes_on_where_it_broke(api: Api) -> None:
    product = await api.product("shop")
    async with stream(api) as seen:
        await api.json("PATCH", f"/products/{product}", {"name": "one"})
        await seen.until("product", lambda data: data["name"] == "one")
        last = seen.last_id
    for name in ("two", "three"):
        await api.json("PATCH", f"/products/{product}", {"name": name})
    await eventually(lambda: feed_of(api).open == 0)
    for resumed in ({"Last-Event-ID": last}, {}):
        query = "" if resumed else f"?last_event_id={last}"
        async with stream(api, query, **resumed) as again:
            await again.until("ping")
            told = [(name, data.get("name")) for name, data in again.seen if name in ("product", "reset")]
            assert told == [("product", "two"), ("product", "three")]
            # The ping tells how far the client is.
            last_of_all = again.last_id
    async with stream(api, **{"Last-Event-ID": last_of_all}) as again:
        await again.until("ping")
        assert [name for name, _ in again.seen] == ["ping"]


@pytest.mark.parametrize("last", ["nonsense", "00000000-1", "{epoch}-999999999"])
async def test_a_stream_that_cannot_go_on_begins_with_reset(api: Api, last: str) -> None:
    epoch = feed_of(api).last_id.split("-")[0]
    async with stream(api, **{"Last-Event-ID": last.format(epoch=epoch)}) as seen:
        assert await seen.one() == ("reset", {})
        assert seen.last_id == feed_of(api).last_id


async def test_a_stream_does_not_go_on_over_a_gap(api: Api, collector: Any) -> None:
    product = await api.product("shop")
    async with stream(api) as seen:
        await seen.until("ping")
    feed = feed_of(api)
    for number in range(2100):
        feed.publish("status", product, b"%d" % number)
    async with stream(api, **{"Last-Event-ID": seen.last_id}) as again:
        assert await again.one() == ("reset", {})
    # Nobody has been there for long: what happens then is not kept.
    feed._left_at = float("-inf")  # pyright: ignore[reportPrivateUsage] - a minute ago
    await eventually(lambda: not feed.is_watched or feed.open == 0)
    feed._left_at = float("-inf")  # pyright: ignore[reportPrivateUsage] - a minute ago
    await collector(product, messages.encode(status(product)))
    async with stream(api, **{"Last-Event-ID": again.last_id}) as third:
        assert await third.one() == ("reset", {})


async def test_a_slow_client_is_dropped_and_the_others_are_not(api: Api) -> None:
    product = await api.product("shop")
    feed = feed_of(api)
    server: Any = api.client.server
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
    request = f"GET /api/v1/events HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {ADMIN_TOKEN}\r\n\r\n"
    writer.write(request.encode())
    assert b"200" in await reader.readline()
    async with stream(api) as seen:
        for number in range(600):
            feed.publish("status", product, json.dumps({"number": number, "fill": "x" * 50_000}).encode())
            await seen.until("status", lambda data, wanted=number: data["number"] == wanted)
        await eventually(lambda: feed.open == 1)
        text = await (await api.call("GET", "//metrics")).text()
        assert "config_service_event_streams 1.0" in text
        assert "config_service_event_streams_dropped_total 1.0" in text
    writer.close()


async def test_a_client_that_leaves_leaves_nothing(api: Api) -> None:
    async with stream(api), stream(api):
        assert feed_of(api).open == 2
    await eventually(lambda: feed_of(api).open == 0)


async def test_a_stream_ends_with_its_token(api: Api) -> None:
    made = await api.json("POST", "/tokens", {"name": "short", "role": "viewer"}, 201)
    async with stream(api.with_token(made["token"])) as seen:
        await seen.until("ping")
        await api.call("DELETE", f"/tokens/{made['id']}")
        async with asyncio.timeout(15):
            while await seen.one():
                continue


async def test_messages_that_are_none_are_left_out(api: Api, collector: Any) -> None:
    product, other = await api.product("shop"), await api.product("other")
    async with stream(api) as seen:
        for payload in (b"", b"{", b"[]", b"\xff", messages.encode(status(other))):
            await collector(product, payload)
        # A line break would end the event's line.
        text = messages.encode(status(product, live=7)).replace(b'"live"', b'\n"live"')
        await collector(product, text)
        assert (await seen.until("status"))["status"]["instances"]["live"] == 7


async def test_nats_away_shows_and_ends_in_a_reset(database_url: str, own_nats: Nats, nats_root: str) -> None:
    async with serving(settings(database_url, own_nats.url, nats_root)) as api, stream(api) as seen:
        await seen.until("ping", lambda data: data["nats"])
        await asyncio.to_thread(own_nats.kill)
        await seen.until("ping", lambda data: not data["nats"])
        # What is done here is told all the same.
        product = await api.product("shop")
        assert (await seen.until("product"))["product_id"] == product
        await api.json("PUT", f"/products/{product}/mqtt-config", CONFIG)
        assert (await seen.until("config"))["revision"] == 1
        await asyncio.to_thread(own_nats.start)
        assert await seen.until("reset", lambda data: data == {}) == {}
        await seen.until("ping", lambda data: data["nats"])


async def test_open_streams_do_not_hold_up_a_stop(
    database_url: str, nats_server: Nats, nats_root: str, processes: Processes
) -> None:
    environment = {
        "DATABASE_URL": database_url,
        "NATS_URL": nats_server.url,
        "NATS_ROOT": nats_root,
        "MQTT_PASSWORD_ENCRYPTION_KEY": KEY,
        "ADMIN_TOKEN": ADMIN_TOKEN,
        "SHUTDOWN_TIMEOUT_SECONDS": "300",
    }
    process, port = await processes.serve("config_service", environment=environment)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    request = f"GET /api/v1/events HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {ADMIN_TOKEN}\r\n\r\n"
    writer.write(request.encode())
    assert b"200" in await reader.readline()
    process.signal(signal.SIGTERM)
    # Long before the time that requests have to end in.
    assert await asyncio.to_thread(process.wait, 60)
    assert process.returncode == 0
    assert b"heartbeat" in await reader.read()
    writer.close()
