"""Requests that are wrong: each gets a problem that says what to change."""

from __future__ import annotations

import io
import json
import zlib
from typing import TYPE_CHECKING, Any

import pytest

from .http import CONFIG, Api, serving, settings

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from deploy.local.nats import Nats

JSON = {"Content-Type": "application/json"}


@pytest.fixture
async def api(database_url: str, nats_server: Nats, nats_root: str) -> AsyncGenerator[Api]:
    async with serving(settings(database_url, nats_server.url, nats_root)) as api:
        yield api


async def problem(api: Api, status: int, method: str, path: str, **more: Any) -> dict[str, Any]:
    response = await api.call(method, path, **more)
    assert response.status == status, await response.text()
    assert response.content_type == "application/problem+json"
    told = json.loads(await response.read())
    assert told["status"] == status
    assert {"type", "title", "detail"} <= set(told)
    return told


async def test_a_body_that_is_not_json_says_where(api: Api) -> None:
    path = f"/products/{await api.product()}/mqtt-config"
    for raw, where in ((b'{"broker": ', "line 1 column 12"), (b"", "line 1 column 1"), (b"\xff", "UTF-8")):
        told = await problem(api, 400, "PUT", path, data=raw, headers=JSON)
        assert where in told["detail"]


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "application/json-seq"]
)
async def test_a_body_of_another_type(api: Api, content_type: str) -> None:
    path = f"/products/{await api.product()}/mqtt-config"
    await problem(api, 415, "PUT", path, data=b"{}", headers={"Content-Type": content_type})


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "application/merge-patch+json"])
async def test_a_body_of_a_json_type(api: Api, content_type: str) -> None:
    path = f"/products/{await api.product()}"
    response = await api.call("PATCH", path, data=b"{}", headers={"Content-Type": content_type})
    assert response.status == 200


async def _chunks(size: int) -> AsyncGenerator[bytes]:
    for _ in range(size // 100_000):
        yield b" " * 100_000


@pytest.mark.parametrize("chunked", [True, False])
async def test_a_body_of_ten_megabytes(api: Api, chunked: bool) -> None:
    path = f"/products/{await api.product()}/mqtt-config"
    data: Any = _chunks(10_000_000) if chunked else io.BytesIO(b" " * 10_000_000)
    await problem(api, 413, "PUT", path, data=data, headers=JSON)


async def test_a_small_body_that_unpacks_to_a_large_one(api: Api) -> None:
    path = f"/products/{await api.product()}/mqtt-config"
    packed = zlib.compress(b" " * 50_000_000)
    await problem(api, 413, "PUT", path, data=packed, headers={**JSON, "Content-Encoding": "deflate"})


async def test_a_body_of_just_the_most_bytes_is_read(api: Api) -> None:
    path = f"/products/{await api.product()}/mqtt-config"
    raw = json.dumps(CONFIG).encode().ljust(1_000_000)
    assert (await api.call("PUT", path, data=raw, headers=JSON)).status == 200
    await problem(api, 413, "PUT", path, data=raw + b" ", headers=JSON)


async def test_all_faults_at_once_in_query_and_body(api: Api) -> None:
    path = f"/products/{await api.product()}/mqtt-config?dry_run=1&x=1"
    body = {"broker": {"port": "x", "zz": 1}, "topics": {"qos": 9}}
    assert await api.faults("PUT", path, body) == {
        "query.x": "unknown_parameter",
        "query.dry_run": "invalid_parameter",
        "body.broker.host": "missing",
        "body.broker.port": "wrong_type",
        "body.broker.zz": "unknown_field",
        "body.topics.qos": "too_large",
    }


@pytest.mark.parametrize("host", ["mqtt://example.com", "a b", "example.com:1883", "a@b", "", "x" * 256])
async def test_hosts_that_are_none(api: Api, host: str) -> None:
    path = f"/products/{await api.product()}/mqtt-config"
    assert list(await api.faults("PUT", path, {"broker": {"host": host}})) == ["body.broker.host"]


@pytest.mark.parametrize("topic", ["a/#/b", "a#", "a+/b", "{a", "a}", "{a b}", ""])
async def test_topics_that_are_none(api: Api, topic: str) -> None:
    path = f"/products/{await api.configured()}/mqtt-config/subscriptions"
    assert "body.topic" in await api.faults("POST", path, {"name": "a", "topic": topic})


async def test_a_shared_group_is_needed_to_share(api: Api) -> None:
    path = f"/products/{await api.product()}/mqtt-config"
    body = {**CONFIG, "topics": {"use_shared": True, "shared_group": None}}
    assert list(await api.faults("PUT", path, body)) == ["body.topics.shared_group"]


async def test_an_unknown_variable_is_a_warning(api: Api) -> None:
    path = f"/products/{await api.configured()}/mqtt-config/subscriptions"
    made = await api.json("POST", path, {"name": "a", "topic": "x/{nobody_knows}"}, 201)
    assert "nobody_knows" in str(made["warnings"])


NO_SUCH_PRODUCT = ("999999", "0", "-1", "2147483648", "9" * 30)
NO_INTEGER = ("abc", "1.0", "%00", "\u0663")


@pytest.mark.parametrize(
    ("product", "status"), [*((text, 404) for text in NO_SUCH_PRODUCT), *((text, 422) for text in NO_INTEGER)]
)
async def test_ids_that_are_none(api: Api, product: str, status: int) -> None:
    for method, body in (("GET", None), ("PUT", CONFIG)):
        await problem(api, status, method, f"/products/{product}/mqtt-config", body=body)


async def test_paths_and_methods_that_are_not_served(api: Api) -> None:
    assert (await problem(api, 404, "GET", "/nothing"))["type"] == "urn:problem-type:not-found"
    response = await api.call("DELETE", "//healthz")
    assert (response.status, response.headers["Allow"]) == (405, "GET,HEAD")
    assert response.content_type == "application/problem+json"


async def test_names_that_are_taken(api: Api) -> None:
    product = await api.configured()
    await problem(api, 409, "POST", "/products", body={"name": "shop"})
    path = f"/products/{product}/mqtt-config/subscriptions"
    await api.json("POST", path, {"name": "a"}, 201)
    await problem(api, 409, "POST", path, body={"name": "a"})
    other = await api.json("POST", path, {"name": "b"}, 201)
    await problem(api, 409, "PATCH", f"{path}/{other['id']}", body={"name": "a"})


async def test_a_subscription_of_another_product_is_not_found(api: Api) -> None:
    one, other = await api.configured("one"), await api.configured("other")
    made = await api.json("POST", f"/products/{one}/mqtt-config/subscriptions", {"name": "a"}, 201)
    bodies: dict[str, Any] = {"GET": None, "PUT": {}, "PATCH": {}, "DELETE": None}
    for method, body in bodies.items():
        path = f"/products/{other}/mqtt-config/subscriptions/{made['id']}"
        await problem(api, 404, method, path, body=body)


HEARTBEAT = {
    "instance_id": "i",
    "boot_id": "018f0000-0000-7000-8000-000000000001",
    "seq": 1,
    "sent_at": "2026-01-31T08:00:05Z",
    "started_at": "2026-01-31T08:00:00Z",
}


async def test_heartbeats(api: Api) -> None:
    product = await api.configured()
    path = f"/products/{product}/mqtt-config/status"
    await api.json("POST", path, {**HEARTBEAT, "product_id": product, "of_tomorrow": 1}, 202)
    assert await api.faults("POST", path, {**HEARTBEAT, "product_id": product + 1}) == {
        "body.product_id": "mismatch"
    }
    assert await api.faults("POST", path, {**HEARTBEAT, "product_id": product, "seq": -1}) == {
        "body.seq": "too_small"
    }
    beyond = {
        "counters": {"07": {}, "x": {}, "2147483648": {}, "1": {"messages_received": 2**53 + 1}},
        "broker_info": {"name": "x" * 20_000},
    }
    assert await api.faults("POST", path, {**HEARTBEAT, "product_id": product, **beyond}) == {
        "body.counters.07": "not_storable",
        "body.counters.x": "not_storable",
        "body.counters.2147483648": "not_storable",
        "body.counters.1.messages_received": "not_storable",
        "body.broker_info": "not_storable",
    }
    gone = {**HEARTBEAT, "product_id": 999}
    await problem(api, 404, "POST", "/products/999/mqtt-config/status", body=gone)


async def test_a_request_id_is_taken_when_it_is_one(api: Api) -> None:
    given = await api.call("GET", "//healthz", headers={"X-Request-ID": "abc-123"})
    assert given.headers["X-Request-ID"] == "abc-123"
    made = await api.call("GET", "//healthz", headers={"X-Request-ID": "not one; really"})
    assert len(made.headers["X-Request-ID"]) == 16
