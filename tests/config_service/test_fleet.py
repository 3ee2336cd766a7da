"""All products at a glance, action types, topic filters, and a rollout of many instances."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import jsonschema
import pytest

from config_service.core import actions
from tests.support.servers import execute

from .http import Api, serving, settings

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from deploy.local.nats import Nats


@pytest.fixture
async def api(database_url: str, nats_server: Nats, nats_root: str) -> AsyncGenerator[Api]:
    async with serving(settings(database_url, nats_server.url, nats_root)) as api:
        yield api


async def test_the_fleet(api: Api, database_url: str) -> None:
    shop, bare = await api.configured("shop", description="The shop"), await api.product("bare")
    execute(
        database_url,
        f"""
        insert into mqtt_connection_status (
            product_id, connected, state, messages_received, actions_executed, actions_failed, instances_live,
            instances_connected, instances_pending, connection_error, last_message_at, updated_at
        ) values (
            {shop}, true, 'degraded', 7, 5, 1, 2, 1, 2, 'refused', '2026-01-31 08:00Z', '2026-01-31 08:01Z'
        )
        """,
        f"""
        insert into mqtt_metrics_minute (product_id, subscription_id, at, received)
        select {shop}, s, date_trunc('minute', now()) - m * interval '1 minute', 100 * s + m
        from unnest(array[0, 1, 2, 29, 30, 31]) m, unnest(array[0, 1]) s
        """,
    )
    fleet = await api.json("GET", "/fleet")
    assert fleet["next_cursor"] is None
    first, second = fleet["products"]
    assert first.pop("recent") == [30, 29, *[0] * 26, 2, 1]
    assert first == {
        "product_id": shop,
        "name": "shop",
        "description": "The shop",
        "configured": True,
        "state": "degraded",
        "connected": True,
        "instances": {
            "live": 2,
            "stale": 0,
            "stopped": 0,
            "connected": 1,
            "applied": 0,
            "rejected": 0,
            "pending": 2,
            "drifted": 0,
        },
        "desired_revision": 1,
        "published_revision": first["published_revision"],
        "messages_received": 7,
        "actions_executed": 5,
        "actions_failed": 1,
        "last_message_at": "2026-01-31T08:00:00Z",
        "connection_error": "refused",
        "updated_at": "2026-01-31T08:01:00Z",
    }
    assert (second["product_id"], second["state"], second["configured"]) == (bare, "not_configured", False)
    assert (second["recent"], second["updated_at"], second["desired_revision"]) == ([0] * 30, None, 0)
    status = await api.json("GET", f"/products/{shop}/mqtt-config/status")
    assert (status["instances"]["pending"], status["state"]) == (2, "degraded")
    assert (await api.json("GET", f"/products/{shop}/mqtt-config"))["status"] == status
    limited = await api.token_for("viewer", [bare])
    assert [each["product_id"] for each in (await limited.json("GET", "/fleet"))["products"]] == [bare]
    page = await api.json("GET", "/fleet?limit=1")
    page = await api.json("GET", f"/fleet?limit=1&cursor={page['next_cursor']}")
    assert [each["product_id"] for each in page["products"]] == [bare]
    assert page["next_cursor"] is None
    assert await api.faults("GET", "/fleet?limit=1001") == {"query.limit": "invalid_parameter"}


async def test_a_configured_product_without_instances(api: Api) -> None:
    await api.configured("shop")
    (product,) = (await api.json("GET", "/fleet"))["products"]
    assert (product["state"], product["configured"]) == ("no_instances", True)


async def test_action_types_with_schemas_that_work(api: Api) -> None:
    listed = (await api.json("GET", "/action-types"))["action_types"]
    assert [each["type"] for each in listed] == list(actions.KNOWN)
    schemas = {each["type"]: each["schema"] for each in listed}
    validator = cast("Any", jsonschema).Draft202012Validator
    for each in listed:
        assert each["built_in"] is True
        assert each["description"]
        validator.check_schema(each["schema"])
        assert not validator(each["schema"]).is_valid({"type": "another"})
    good = {
        "type": "http_webhook",
        "config": {"url": "https://example.com/hook"},
        "conditions": {"paid": True},
    }
    assert validator(schemas["http_webhook"]).is_valid(good)
    assert not validator(schemas["http_webhook"]).is_valid({**good, "config": {"url": "nonsense"}})
    assert not validator(schemas["http_webhook"]).is_valid({"type": "http_webhook"})
    assert validator(schemas["healthcheck_response"]).is_valid({"type": "healthcheck_response"})


async def test_topic_filters(api: Api) -> None:
    product = await api.configured("shop", variables={"application_id": "shop-1"})
    config = f"/products/{product}/mqtt-config"
    made = await api.json("POST", f"{config}/subscriptions", {"name": "invoice_paid"}, 201)
    derived = "$share/bre//v3/applications/shop-1/business-events/invoice-paid"
    assert made["topic_filter"] == derived
    own = {"name": "own", "topic": "a/{region}/{application_id}/#"}
    made = await api.json("POST", f"{config}/subscriptions", own, 201)
    assert made["topic_filter"] == "$share/bre/a/{region}/shop-1/#"
    listed = (await api.json("GET", f"{config}/subscriptions"))["subscriptions"]
    assert [each["topic_filter"] for each in listed] == [derived, "$share/bre/a/{region}/shop-1/#"]
    broker = {"host": "broker.example.com"}
    await api.json("PUT", config, {"broker": broker, "topics": {"use_shared": False}})
    found = await api.json("GET", f"{config}/subscriptions/{made['id']}")
    assert (found["topic_filter"], found["topic"]) == ("a/{region}/shop-1/#", own["topic"])
    whole = await api.json("GET", config)
    assert whole["subscriptions"][1]["topic_filter"] == "a/{region}/shop-1/#"


async def test_a_rollout_of_many_instances_is_short(api: Api, database_url: str) -> None:
    product = await api.configured("shop")
    execute(
        database_url,
        f"""
        insert into mqtt_instances (
            product_id, instance_id, state, boot_id, seq, started_at, sent_at, last_heartbeat_at,
            interval_seconds, connected, applied_revision, rejected_revision, rejected_error
        )
        select {product}, 'i-' || n, 'live', 'b', 1, now(), now(), now(), 5, true,
            case when n = 1500 then 0 else 1 end, case when n = 1500 then 1 end,
            case when n = 1500 then 'no' end
        from generate_series(1, 1500) n
        """,
    )
    path = f"/products/{product}/mqtt-config/rollout"
    rollout = await api.json("GET", path)
    assert (rollout["total"], rollout["applied"], rollout["rejected"]) == (1500, 1499, 1)
    assert len(rollout["instances"]) == 200
    first = {"instance_id": "i-1500", "state": "rejected", "applied_revision": 0, "error": "no"}
    assert rollout["instances"][0] == first
    assert (await api.json("GET", f"{path}?limit=1"))["instances"] == [first]
    assert (await api.json("GET", f"{path}?limit=0"))["instances"] == []
    # The collector's counts are told once they are made against what is desired, and not before.
    for revision, total in ((0, 1500), (1, 1400)):
        execute(
            database_url,
            f"""
            insert into mqtt_connection_status (
                product_id, instances_live, instances_applied, desired_revision, desired_digest
            )
            select product_id, 1400, 1400, {revision}, digest from mqtt_config_revisions
            on conflict (product_id) do update set desired_revision = excluded.desired_revision
            """,
        )
        assert (await api.json("GET", path))["total"] == total
