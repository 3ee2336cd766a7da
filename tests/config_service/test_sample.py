"""What would become of a message, before anything is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from .http import Api, serving, settings

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from deploy.local.nats import Nats

TOPIC = "/v3/applications/shop-1/business-events/invoice-paid"
HOOK: dict[str, Any] = {
    "type": "http_webhook",
    "conditions": {"invoice.paid": True},
    "config": {"url": "https://example.com/hook", "headers": {"X-Key": "{{ secrets.hook_key }}"}},
}


@pytest.fixture
async def api(database_url: str, nats_server: Nats, nats_root: str) -> AsyncGenerator[Api]:
    async with serving(settings(database_url, nats_server.url, nats_root)) as api:
        yield api


async def test_a_sample_message(api: Api) -> None:
    product = await api.configured(variables={"application_id": "shop-1"})
    path = f"/products/{product}/mqtt-config/subscriptions"
    await api.json("PUT", f"/products/{product}/secrets/hook_key", {"value": "made-up-hook-key"})
    mine = {"type": "create_invoice", "config": {"number": "{{ payload.invoice.id }}"}}
    body = {"name": "invoice_paid", "actions": [HOOK, mine]}
    first = (await api.json("POST", path, body, 201))["id"]
    second = (await api.json("POST", path, {"name": "other", "topic": "elsewhere/#"}, 201))["id"]
    sample = {"topic": TOPIC, "payload": {"invoice": {"id": 7, "paid": True}}}
    answer = await api.json("POST", f"{path}/dry-run", sample)
    assert answer["event"]["payload"] == sample["payload"]
    paid, other = answer["subscriptions"]
    assert (paid["subscription_id"], paid["matches"]) == (first, True)
    assert (other["subscription_id"], other["matches"], other["actions"]) == (second, False, [])
    hook, custom = paid["actions"]
    assert (hook["condition_holds"], hook["unmet"], hook["error"]) == (True, [], None)
    assert (hook["would_send"]["url"], hook["would_send"]["headers"]["X-Key"]) == (
        HOOK["config"]["url"],
        "***",
    )
    assert (custom["would_send"], custom["config"]) == (None, {"number": "7"})
    # A text instead of JSON: the condition does not hold, and the template has nothing to fill in.
    answer = await api.json("POST", f"{path}/dry-run", {"topic": TOPIC, "payload_text": "paid"})
    hook, custom = answer["subscriptions"][0]["actions"]
    assert hook["unmet"] == [{"key": "invoice.paid", "expected": True, "actual": None}]
    assert (hook["condition_holds"], hook["would_send"]) == (False, None)
    assert "config.number" in custom["error"]


async def test_a_secret_that_is_not_there(api: Api) -> None:
    product = await api.configured()
    path = f"/products/{product}/mqtt-config/subscriptions"
    draft: dict[str, Any] = {"name": "paid", "topic": "a/b", "actions": [{**HOOK, "conditions": {}}]}
    answer = await api.json("POST", f"{path}/dry-run", {"topic": "a/b", "subscriptions": [draft]})
    (hook,) = answer["subscriptions"][0]["actions"]
    assert hook["would_send"] is None
    assert "hook_key" in hook["error"]


async def test_only_the_dry_run_is_there(api: Api) -> None:
    path = f"/products/{await api.configured()}/mqtt-config/subscriptions/dry-run"
    for method in ("GET", "PUT", "PATCH", "DELETE"):
        response = await api.call(method, path)
        assert (response.status, response.headers["Allow"]) == (405, "POST"), method


async def test_drafts_take_the_place_of_what_is_stored(api: Api) -> None:
    product = await api.configured()
    path = f"/products/{product}/mqtt-config/subscriptions"
    stored = (await api.json("POST", path, {"name": "paid", "topic": "a/b"}, 201))["id"]
    drafts = [{"id": stored, "name": "paid", "topic": "c/+"}, {"name": "fresh", "topic": "a/#"}]
    answer = await api.json("POST", f"{path}/dry-run", {"topic": "a/b", "subscriptions": drafts})
    told = [(each["subscription_id"], each["name"], each["matches"]) for each in answer["subscriptions"]]
    assert told == [(stored, "paid", False), (None, "fresh", True)]
    # Nothing was written.
    assert (await api.json("GET", f"{path}/{stored}"))["topic"] == "a/b"
    wrong = {"topic": "a/b", "subscriptions": [{"id": 77, "name": "paid"}]}
    assert await api.faults("POST", f"{path}/dry-run", wrong) == {"body.subscriptions.0.id": "missing"}
    both = {"topic": "a/b", "payload": 1, "payload_text": "1"}
    assert await api.faults("POST", f"{path}/dry-run", both) == {"body.payload_text": "conflict"}
    assert await api.faults("POST", f"{path}/dry-run", {"topic": "a/+"}) == {"body.topic": "pattern"}


async def test_reconnecting_an_instance_that_is_not_there(api: Api) -> None:
    path = f"/products/{await api.configured()}/mqtt-config/reconnect"
    assert (await api.call("POST", path, {"instance_id": "nobody"})).status == 404
    assert await api.faults("POST", path, {"instance_id": "a.b"}) == {"body.instance_id": "pattern"}
