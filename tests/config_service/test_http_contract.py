"""The seven fixed endpoints to the letter, and the conventions that all of them share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from .http import CONFIG, Api, serving, settings

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from deploy.local.nats import Nats
    from tests.support.servers import Broker


@pytest.fixture
async def api(database_url: str, nats_server: Nats, nats_root: str) -> AsyncGenerator[Api]:
    async with serving(settings(database_url, nats_server.url, nats_root)) as api:
        yield api


BROKER_KEYS = {
    "host",
    "port",
    "use_tls",
    "verify_cert",
    "username",
    "password",
    "client_id",
    "keep_alive",
    "clean_session",
    "protocol",
    "session_expiry_seconds",
    "transport",
    "websocket_path",
    "tls_min_version",
    "ca_certificate",
    "client_certificate",
    "client_key",
}
SUBSCRIPTION_KEYS = {
    "id",
    "name",
    "topic",
    "enabled",
    "description",
    "actions",
    "concurrency",
    "stats",
    "created_at",
    "updated_at",
}
STATUS_KEYS = {
    "product_id",
    "connected",
    "last_connected_at",
    "last_disconnected_at",
    "connection_error",
    "messages_received",
    "last_message_at",
    "subscribed_topics_count",
    "client_id",
    "broker_info",
    "updated_at",
}


async def test_a_product_without_a_config(api: Api) -> None:
    product = await api.product()
    answer = await api.json("GET", f"/products/{product}/mqtt-config")
    assert answer["message"] == "MQTT not configured for this product"
    assert [answer[key] for key in ("product_id", "mqtt_config", "subscriptions", "status")] == [
        product,
        None,
        None,
        None,
    ]
    status = await api.json("GET", f"/products/{product}/mqtt-config/status")
    assert set(status) >= STATUS_KEYS
    assert {value for key, value in status.items() if key != "product_id"} == {None}


async def test_a_config_is_put_and_read(api: Api) -> None:
    product = await api.product()
    path = f"/products/{product}/mqtt-config"
    body = {"broker": {"host": "broker.example.com", "password": "a-made-up-password"}}
    response = await api.call("PUT", path, body)
    answer = await response.json()
    assert (response.status, response.headers["ETag"]) == (200, '"1"')
    assert answer["status"] == "success"
    assert answer["message"] == "MQTT configuration updated successfully"
    assert answer["requires_restart"] is False
    assert answer["revision"] == answer["mqtt_config"]["revision"] == 1
    assert {"effect", "warnings"} <= set(answer)
    assert not {"rollout", "dry_run"} & set(answer)

    response = await api.call("GET", path)
    read = await response.json()
    assert response.headers["ETag"] == '"1"'
    config = read["mqtt_config"]
    assert set(config) >= {"id", "product_id", "broker", "topics", "created_at", "updated_at"}
    assert set(config["broker"]) == BROKER_KEYS
    assert config["broker"] | {"host": ""} == {
        "host": "",
        "port": 1883,
        "use_tls": False,
        "verify_cert": True,
        "username": None,
        "password": "***",
        "client_id": None,
        "keep_alive": 60,
        "clean_session": True,
        "protocol": "3.1.1",
        "session_expiry_seconds": 604800,
        "transport": "tcp",
        "websocket_path": "/mqtt",
        "tls_min_version": "1.2",
        "ca_certificate": None,
        "client_certificate": None,
        "client_key": None,
    }
    assert config["topics"] == {
        "prefix": "/v3/applications",
        "pattern": "{application_id}/business-events",
        "use_shared": True,
        "shared_group": "bre",
        "qos": 1,
    }
    assert config["created_at"].endswith("Z")
    assert read["subscriptions"] == []
    assert "message" not in read


@pytest.mark.parametrize(("given", "stored"), [("", "***"), ("***", "***"), (None, None), ("new", "***")])
async def test_the_password_is_masked_kept_and_removed(
    api: Api, given: str | None, stored: str | None
) -> None:
    path = f"/products/{await api.product()}/mqtt-config"
    await api.json("PUT", path, {"broker": {"host": "a.example.com", "password": "made-up"}})
    answer = await api.json("PUT", path, {"broker": {"host": "a.example.com", "password": given}})
    assert answer["mqtt_config"]["broker"]["password"] == stored


async def test_subscriptions_live_and_die(api: Api) -> None:
    base = f"/products/{await api.configured()}/mqtt-config/subscriptions"
    response = await api.call("POST", base, {"name": "invoice_paid"})
    made = await response.json()
    assert (response.status, response.headers["Location"]) == (201, f"/api/v1{base}/{made['id']}")
    assert set(made) >= SUBSCRIPTION_KEYS
    assert made["topic"] == "/v3/applications/{application_id}/business-events/invoice-paid"
    assert made["topic_derived"] is True
    assert (await api.call("GET", "/" + response.headers["Location"])).status == 200

    listed = await api.json("GET", base)
    assert set(listed["subscriptions"][0]) >= SUBSCRIPTION_KEYS
    assert listed["subscriptions"][0]["stats"] == {
        "messages_received": 0,
        "last_message_at": None,
        "actions_executed": 0,
        "actions_failed": 0,
    }
    path = f"{base}/{made['id']}"
    answer = await api.json("PUT", path, {"enabled": False})
    assert answer["status"] == "success"
    assert answer["message"] == "Subscription updated successfully"
    assert answer["subscription"]["enabled"] is False
    patched = await api.json("PATCH", path, {"topic": "a/b"})
    assert (patched["topic"], patched["topic_derived"], patched["enabled"]) == ("a/b", False, False)
    assert patched["revision"] == 4
    removed = await api.json("DELETE", path)
    assert removed["revision"] == 5
    assert (await api.call("GET", path)).status == 404


async def test_reconnect_without_instances(api: Api) -> None:
    answer = await api.json("POST", f"/products/{await api.configured()}/mqtt-config/reconnect")
    assert (answer["status"], answer["instances_notified"]) == ("success", 0)
    assert answer["message"]


@pytest.mark.parametrize("body", [None, {}, {"topics": {"use_shared": False}}])
async def test_the_connection_test_succeeds(api: Api, mosquitto: Broker, body: Any) -> None:
    path = f"/products/{await api.product()}/mqtt-config"
    await api.json("PUT", path, {"broker": {"host": mosquitto.host, "port": mosquitto.port}})
    answer = await api.json("POST", f"{path}/test", body)
    assert (answer["status"], answer["connected"], answer["error"]) == ("success", True, None)
    assert answer["details"] == "Connected successfully"
    assert answer["latency_ms"] > 0
    assert isinstance(answer["broker_info"], dict)


async def test_the_connection_test_fails_in_words(api: Api) -> None:
    path = f"/products/{await api.product()}/mqtt-config/test"
    answer = await api.json("POST", path, {"broker": {"host": "127.0.0.1", "port": 1}})
    assert (answer["status"], answer["connected"], answer["latency_ms"]) == ("error", False, None)
    assert answer["error"] == "Connection refused"
    assert "127.0.0.1:1" in answer["details"]
    # Metadata addresses are denied by default.
    denied = await api.json("POST", path, {"broker": {"host": "169.254.169.254"}})
    assert denied["status"] == "error"
    assert "TEST_DENIED_NETWORKS" in denied["details"]
    assert await api.faults("POST", path, {}) == {"body.broker.host": "missing"}


async def test_a_dry_run_changes_nothing(api: Api) -> None:
    product = await api.configured()
    path = f"/products/{product}/mqtt-config"
    answer = await api.json("PUT", f"{path}?dry_run=true", {"broker": {"host": "other.example.com"}})
    assert answer["dry_run"] is True
    assert answer["mqtt_config"]["broker"]["host"] == "other.example.com"
    made = await api.json("POST", f"{path}/subscriptions?dry_run=true", {"name": "a"})
    assert made["dry_run"] is True
    assert (await api.json("DELETE", f"{path}?dry_run=true"))["dry_run"] is True
    read = await api.json("GET", path)
    assert (read["revision"], read["mqtt_config"]["broker"]["host"]) == (1, "broker.example.com")
    assert read["subscriptions"] == []
    dry = await api.json("POST", "/products?dry_run=true", {"name": "more"})
    assert (dry["dry_run"], dry["product_key"]) == (True, None)
    assert len((await api.json("GET", "/products"))["products"]) == 1


@pytest.mark.parametrize("tag", ['"7"', 'W/"1"', '"abc"'])
async def test_a_write_at_another_revision_is_refused(api: Api, tag: str) -> None:
    path = f"/products/{await api.configured()}/mqtt-config"
    problem = await api.json("PUT", path, CONFIG, 412, headers={"If-Match": tag})
    assert problem["current_revision"] == 1
    assert problem["type"] == "urn:problem-type:revision-mismatch"


@pytest.mark.parametrize("tag", ['"1"', "*", '"7", "1"'])
async def test_a_write_at_the_read_revision_is_taken(api: Api, tag: str) -> None:
    path = f"/products/{await api.configured()}/mqtt-config"
    await api.json("PUT", path, {"broker": {"host": "b.example.com"}}, headers={"If-Match": tag})
    assert await api.faults("PUT", path, CONFIG, headers={"If-Match": "1"}) == {
        "header.If-Match": "malformed_entity_tag"
    }


async def test_if_match_star_needs_a_config_and_if_none_match_star_none(api: Api) -> None:
    path = f"/products/{await api.product()}/mqtt-config"
    assert (await api.call("PUT", path, CONFIG, headers={"If-Match": "*"})).status == 412
    assert (await api.call("PUT", path, CONFIG, headers={"If-None-Match": "*"})).status == 200
    assert (await api.call("PUT", path, CONFIG, headers={"If-None-Match": "*"})).status == 412


async def test_not_modified_only_without_live_figures(api: Api) -> None:
    path = f"/products/{await api.configured()}/mqtt-config"
    made = await api.json("POST", f"{path}/subscriptions", {"name": "a"}, 201)
    tag = {"If-None-Match": f'"{made["revision"]}"'}
    for url in (path, f"{path}/subscriptions/{made['id']}"):
        assert (await api.call("GET", url, headers=tag)).status == 200
        response = await api.call("GET", f"{url}?live=false", headers=tag)
        assert (response.status, response.headers["ETag"], await response.read()) == (304, '"2"', b"")
        assert (await api.call("GET", f"{url}?live=false", headers={"If-None-Match": '"1"'})).status == 200
    read = await api.json("GET", f"{path}?live=false")
    assert (read["status"], read["subscriptions"][0]["stats"]) == (None, None)


async def test_prefer_wait_answers_the_rollout(api: Api) -> None:
    path = f"/products/{await api.configured()}/mqtt-config"
    response = await api.call(
        "PUT", path, {"broker": {"host": "b.example.com"}}, headers={"Prefer": "wait=500"}
    )
    answer = await response.json()
    assert response.headers["Preference-Applied"] == "wait=60"
    # There is no instance to wait for.
    assert (answer["rollout"]["desired_revision"], answer["rollout"]["total"]) == (2, 0)
    assert (await api.json("GET", f"{path}/rollout"))["desired_revision"] == 2


async def test_lists_page(api: Api) -> None:
    for name in ("a", "b", "c"):
        await api.product(name)
    first = await api.json("GET", "/products?limit=2")
    assert [product["name"] for product in first["products"]] == ["a", "b"]
    rest = await api.json("GET", f"/products?limit=2&cursor={first['next_cursor']}")
    assert [product["name"] for product in rest["products"]] == ["c"]
    assert rest["next_cursor"] is None
    assert await api.faults("GET", "/products?limit=0&cursor=&more=1") == {
        "query.limit": "invalid_parameter",
        "query.cursor": "invalid_parameter",
        "query.more": "unknown_parameter",
    }


async def test_products_and_their_keys(api: Api) -> None:
    made = await api.json(
        "POST", "/products", {"name": "Läden 店", "variables": {"application_id": "x"}}, 201
    )
    assert len(made["product_key"]) == 44
    path = f"/products/{made['id']}"
    assert "product_key" not in await api.json("GET", path)
    assert (await api.json("POST", "/products", {"name": "Läden 店"}, 409))["status"] == 409
    assert (await api.json("PATCH", path, {"description": "new"}))["description"] == "new"
    await api.json("PUT", f"{path}/mqtt-config", CONFIG)
    changed = await api.json("PATCH", path, {"variables": {"application_id": "y"}})
    assert (changed["revision"], changed["variables"]) == (2, {"application_id": "y"})
    renewed = await api.json("POST", f"{path}/product-key", status=201)
    assert renewed["product_key"] != made["product_key"]
    assert (await api.call("DELETE", f"{path}/product-key/previous")).status == 204
    assert (await api.call("DELETE", path)).status == 204
    assert (await api.call("GET", path)).status == 404


async def test_history_export_and_import(api: Api) -> None:
    path = f"/products/{await api.configured()}/mqtt-config"
    await api.json("PUT", path, {"broker": {"host": "b.example.com"}})
    history = await api.json("GET", f"{path}/revisions")
    assert [(entry["revision"], entry["changed_by"]) for entry in history["revisions"]] == [
        (2, "administrator"),
        (1, "administrator"),
    ]
    assert (await api.json("GET", f"{path}/revisions/1"))["after"]
    diff = await api.json("GET", f"{path}/revisions/2/diff?against=1")
    assert [(change["before"], change["after"]) for change in diff["changes"]] == [
        ("broker.example.com", "b.example.com")
    ]
    assert await api.faults("GET", f"{path}/revisions/2/diff") == {"query.against": "invalid_parameter"}
    restored = await api.json("POST", f"{path}/revisions/1/restore")
    assert (restored["revision"], restored["mqtt_config"]["broker"]["host"]) == (3, "broker.example.com")
    document = await api.json("GET", f"{path}/export")
    other = f"/products/{await api.product('other')}/mqtt-config"
    imported = await api.json("POST", f"{other}/import", document)
    assert imported["mqtt_config"]["broker"]["host"] == "broker.example.com"
    legacy: dict[str, Any] = {
        "configuration": {"qos": 2, "shared_subscription": True, "shared_group_prefix": "$share/old/"},
        "events": [{"name": "paid", "topic": "a/b", "enabled": True, "actions": []}],
    }
    dry = await api.json("POST", f"{path}/import?dry_run=true", legacy)
    assert dry["dry_run"] is True
    assert [subscription["name"] for subscription in dry["subscriptions"]] == ["paid"]
    assert (await api.json("GET", path))["subscriptions"] == []
    assert (await api.faults("POST", f"{path}/import", {"events": [{"name": "A"}, {"nam": 1}]})) != {}


async def test_removing_the_config(api: Api) -> None:
    path = f"/products/{await api.configured()}/mqtt-config"
    assert (await api.json("DELETE", path))["revision"] == 2
    assert (await api.json("GET", path))["mqtt_config"] is None
    assert (await api.call("DELETE", path)).status == 404
    assert (await api.json("POST", f"{path}/subscriptions", {"name": "a"}, 409))["title"] == "Conflict"
