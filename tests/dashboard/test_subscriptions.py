"""Subscriptions and their actions, as an operator works with them."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from playwright.async_api import Locator, Page, expect

from tests.e2e.conftest import publish
from tests.support.waiting import eventually

from .conftest import Desk, look_at

if TYPE_CHECKING:
    from tests.support.servers import Broker

_HOSTILE = '<img src=x onerror="alert(1)">'
_HOOK = {"type": "http_webhook", "config": {"url": "https://example.com/a"}}


async def _add(desk: Desk, name: str, **fields: Any) -> dict[str, Any]:
    body = {"name": name, "topic": f"fleet/{name}"} | fields
    return await desk.system.call("POST", f"{desk.system.path}/subscriptions", body)


async def _stored(desk: Desk, name: str) -> dict[str, Any]:
    found = (await desk.system.call("GET", f"{desk.system.path}/subscriptions"))["subscriptions"]
    (one,) = [each for each in found if each["name"] == name]
    return one


def _editor(page: Page, number: int) -> Locator:
    return page.get_by_role("textbox", name=f"Action {number}", exact=True)


async def _write(page: Page, number: int, action: object) -> None:
    """Replace the text of an action; a string goes in as it is."""
    await _editor(page, number).click()
    await page.keyboard.press("ControlOrMeta+a")
    await page.keyboard.insert_text(action if isinstance(action, str) else json.dumps(action, indent=2))


async def _save(page: Page) -> None:
    await page.get_by_role("button", name="Save…").click()
    await page.get_by_role("dialog").get_by_role("button", name="Save", exact=True).click()
    await expect(page.get_by_role("dialog")).to_have_count(0)


async def test_a_new_subscription_counts_a_real_message(desk: Desk, mosquitto: Broker) -> None:
    await desk.configure(mosquitto)
    await desk.system.start_instance("one")
    page = await desk.sign_in(desk.product_path("subscriptions"), role="operator")
    await expect(page.get_by_role("heading", name="No subscriptions yet")).to_be_visible()
    await look_at(page, "subscriptions-empty")
    await page.get_by_role("link", name="Add subscription").click()
    await expect(page).to_have_url(re.compile("/subscriptions/new$"))
    await page.get_by_label("Name", exact=True).fill("orders")
    await expect(page.get_by_label("Effective topic filter")).to_have_text(
        "$share/bre//v3/shop/shop/business-events/orders"
    )
    await page.get_by_label("Its own").check()
    await page.get_by_label("Topic filter", exact=True).fill("fleet/+/orders")
    await expect(page.get_by_label("Effective topic filter")).to_have_text("$share/bre/fleet/+/orders")
    await page.get_by_role("button", name="Add action").click()
    await page.get_by_role("menuitem", name="mqtt_publish").click()
    await expect(page.get_by_text("config.topic must not be empty")).to_be_visible()
    await look_at(page, "subscription-new")
    await _write(page, 1, {"type": "mqtt_publish", "config": {"topic": "fleet/done"}})
    await page.get_by_role("button", name="Save…").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog.get_by_text("1 subscription begins on 1 instance; no reconnect.")).to_be_visible()
    await look_at(page, "subscription-preview")
    await dialog.get_by_role("button", name="Save", exact=True).click()
    rollout = page.get_by_role("region", name="Rollout")
    await expect(rollout.get_by_text("has it", exact=True)).to_be_visible()
    await expect(page).to_have_url(re.compile(r"/subscriptions/\d+\?saved=\d+$"))
    await publish(mosquitto.port, "fleet/a/orders", range(7))
    await page.get_by_role("link", name="All subscriptions").click()
    row = page.get_by_role("row").filter(has_text="orders")
    await expect(row.get_by_role("cell").nth(2)).to_have_text(re.compile(r"^7"))
    await expect(row.get_by_text(re.compile("just now|s ago"))).to_be_visible()
    await look_at(page, "subscriptions", image=True)
    stored = await _stored(desk, "orders")
    assert stored["topic_filter"] == "$share/bre/fleet/+/orders"
    assert stored["actions"] == [{"type": "mqtt_publish", "config": {"topic": "fleet/done"}}]


async def test_a_change_is_taken_by_the_instance_without_a_reconnect(desk: Desk, mosquitto: Broker) -> None:
    await desk.configure(mosquitto)
    stored = await _add(desk, "orders")
    await desk.system.start_instance("one")
    page = await desk.sign_in(desk.product_path(f"subscriptions/{stored['id']}"))
    await expect(page.get_by_role("button", name="Save…")).to_be_disabled()
    await page.get_by_label("Topic filter", exact=True).fill("fleet/moved")
    await page.get_by_label("Topics side by side").fill("4")
    await page.get_by_label("Description").fill("Orders that moved")
    await page.get_by_role("button", name="Save…").click()
    dialog = page.get_by_role("dialog")
    await expect(
        dialog.get_by_text("1 subscription resubscribes on 1 instance; no reconnect.")
    ).to_be_visible()
    await dialog.get_by_role("button", name="Save", exact=True).click()
    await expect(page.get_by_role("region", name="Rollout").get_by_text("has it", exact=True)).to_be_visible()
    await publish(mosquitto.port, "fleet/moved", range(5))

    async def counted() -> bool:
        return await desk.system.received("orders") == 5

    await eventually(counted)
    changed = await _stored(desk, "orders")
    assert (changed["concurrency"], changed["description"]) == (4, "Orders that moved")
    await page.reload()
    await expect(page.get_by_label("Description")).to_have_value("Orders that moved")


async def test_the_filter_is_shown_as_it_will_be_sent(desk: Desk, mosquitto: Broker) -> None:
    await desk.configure(mosquitto)
    page = await desk.sign_in(desk.product_path("subscriptions/new"))
    await page.get_by_label("Name", exact=True).fill("orders")
    await page.get_by_label("Its own").check()
    await page.get_by_label("Topic filter", exact=True).fill("{application_id}/{serial}/orders")
    shown = page.get_by_label("Effective topic filter")
    await expect(shown).to_have_text("$share/bre/shop/{serial}/orders")
    await expect(page.get_by_text("This product has no value for {serial}")).to_be_visible()
    await page.get_by_role("button", name="Save…").click()
    warning = page.get_by_role("dialog").get_by_text("no value for {serial}")
    await expect(warning).to_be_visible()
    await page.get_by_role("dialog").get_by_role("button", name="Save", exact=True).click()
    await expect(page.get_by_role("region", name="Rollout")).to_be_visible()
    assert (await _stored(desk, "orders"))["topic_filter"] == await shown.inner_text()


async def test_what_is_wrong_stands_where_it_is_wrong(desk: Desk, mosquitto: Broker) -> None:
    await desk.configure(mosquitto)
    await _add(desk, "taken")
    page = await desk.sign_in(desk.product_path("subscriptions/new"))
    name = page.get_by_label("Name", exact=True)
    await page.get_by_role("button", name="Save…").click()
    await expect(page.get_by_text("Enter a name")).to_be_visible()
    await expect(name).to_be_focused()
    await name.fill("taken")
    await page.get_by_label("Its own").check()
    await page.get_by_label("Topic filter", exact=True).fill("fleet/#/orders")
    await page.get_by_role("button", name="Save…").click()
    await expect(page.get_by_text("# is the last level only")).to_be_visible()
    await page.get_by_label("Topic filter", exact=True).fill("fleet/orders")
    await page.get_by_role("button", name="Save…").click()
    await expect(page.get_by_text("another subscription of the product is called 'taken'")).to_be_visible()
    await expect(name).to_be_focused()
    await name.fill("orders")
    for number, action in enumerate((_HOOK, _HOOK), 1):
        await page.get_by_role("button", name="Add action").click()
        await page.get_by_role("menuitem", name="http_webhook").click()
        await _write(page, number, action)
    # A page knows the schema; only the service knows templates.
    broken = {"type": "http_webhook", "config": {"url": "https://example.com/{{ payload.id"}}
    await _write(page, 2, broken)
    await page.get_by_role("button", name="Save…").click()
    second = page.get_by_role("listitem", name="Action 2")
    await expect(second.get_by_text("config.url")).to_be_visible()
    await expect(_editor(page, 2)).to_have_attribute("aria-invalid", "true")
    await expect(page.get_by_role("listitem", name="Action 1").get_by_text("config.url")).to_have_count(0)
    await look_at(page, "subscription-faults")
    # The fault goes where its action goes.
    await second.get_by_role("button", name="Move action 2 up").click()
    first = page.get_by_role("listitem", name="Action 1")
    await expect(first.get_by_text("config.url")).to_be_visible()
    await _write(page, 1, {"type": "http_webhook", "config": {"url": "https://example.com/b"}})
    await _save(page)
    urls = [each["config"]["url"] for each in (await _stored(desk, "orders"))["actions"]]
    assert urls == ["https://example.com/b", "https://example.com/a"]


async def test_json_is_checked_and_completed_while_it_is_typed(desk: Desk, mosquitto: Broker) -> None:
    await desk.configure(mosquitto)
    await desk.system.call("PUT", f"/products/{desk.system.product['id']}/secrets/hook", {"value": "made-up"})
    page = await desk.sign_in(desk.product_path("subscriptions/new"))
    await page.get_by_role("button", name="Add action").click()
    await page.get_by_role("menuitem", name="http_webhook").click()
    await _write(page, 1, '{"type": "http_webhook", "config": {"url": "ftp://example.com", "metod": "PUT"}')
    await expect(page.get_by_text("This is not JSON yet")).to_be_visible()
    await page.keyboard.insert_text("}")
    await expect(page.get_by_text("config.url does not have the right form")).to_be_visible()
    await expect(page.get_by_text("config.metod is not a known field")).to_be_visible()
    await _write(page, 1, '{"type": "http_webhook", "config": {"url": "https://example.com",  }}')
    for _ in range(3):
        await page.keyboard.press("ArrowLeft")
    await page.keyboard.press("Control+Space")
    await expect(page.get_by_role("option", name="method")).to_be_visible()
    await expect(page.get_by_role("option", name="url")).to_have_count(0)
    await page.keyboard.type("body")
    await expect(page.get_by_role("option")).to_have_count(1)
    await page.wait_for_timeout(150)  # A completion that has just come up takes no Enter yet.
    await page.keyboard.press("Enter")
    await page.keyboard.type("{{ secrets.h")
    await expect(page.get_by_role("option", name="secrets.hook")).to_be_visible()
    await page.wait_for_timeout(150)
    await page.keyboard.press("Enter")
    await expect(_editor(page, 1)).to_contain_text("{{ secrets.hook")


async def test_types_of_the_products_own_code_are_free(desk: Desk, mosquitto: Broker) -> None:
    await desk.configure(mosquitto)
    page = await desk.sign_in(desk.product_path("subscriptions/new"))
    await page.get_by_label("Name", exact=True).fill("orders")
    await page.get_by_role("button", name="Add action").click()
    await expect(page.get_by_role("menuitem", name="smtp_email")).to_contain_text("Send a mail")
    await page.get_by_role("menuitem", name="Another type…").click()
    await page.get_by_label("Type", exact=True).fill("print_label")
    await page.keyboard.press("Enter")
    await _write(page, 1, {"type": "print_label", "config": {"anything": [1, 2]}})
    await _save(page)
    (action,) = (await _stored(desk, "orders"))["actions"]
    assert action == {"type": "print_label", "config": {"anything": [1, 2]}}


async def test_actions_are_reordered_by_keyboard_alone(desk: Desk, mosquitto: Broker) -> None:
    await desk.configure(mosquitto)
    actions = [{"type": "mqtt_publish", "name": name, "config": {"topic": name}} for name in ("a", "b", "c")]
    stored = await _add(desk, "orders", actions=actions)
    page = await desk.sign_in(desk.product_path(f"subscriptions/{stored['id']}"))
    down = page.get_by_role("button", name="Move action 1 down")
    await down.focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("Action 1 is now number 2 of 3.")).to_be_attached()
    await expect(page.get_by_role("button", name="Move action 2 down")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("button", name="Move action 3 down")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("It is the last action already.")).to_be_attached()
    # Now b, c, a. The handle takes keys too: c goes to the top.
    await page.get_by_role("button", name="Drag action 2").focus()
    await page.keyboard.press("Space")
    await expect(page.get_by_role("button", name="Drag action 2", pressed=True)).to_be_focused()
    await page.wait_for_timeout(100)  # It measures the list before it takes an arrow.
    await page.keyboard.press("ArrowUp")
    await expect(page.get_by_text("Action 2 is over place 1 of 3.")).to_be_attached()
    await page.keyboard.press("Space")
    items = page.get_by_role("list", name="3 actions").get_by_role("listitem")
    await expect(items.first).to_contain_text("c · c")
    await look_at(page, "subscription-actions")
    await page.get_by_role("button", name="Save…").focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("dialog").get_by_role("button", name="Save", exact=True)).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("dialog")).to_have_count(0)
    assert [each["name"] for each in (await _stored(desk, "orders"))["actions"]] == ["c", "b", "a"]


async def test_actions_are_dragged_copied_and_removed(desk: Desk, mosquitto: Broker) -> None:
    await desk.configure(mosquitto)
    actions = [{"type": "mqtt_publish", "name": name, "config": {"topic": name}} for name in ("a", "b", "c")]
    stored = await _add(desk, "orders", actions=actions)
    page = await desk.sign_in(desk.product_path(f"subscriptions/{stored['id']}"))
    await page.get_by_role("button", name="Add action").scroll_into_view_if_needed()
    handle = await page.get_by_role("button", name="Drag action 1").bounding_box()
    target = await page.get_by_role("button", name="Drag action 3").bounding_box()
    assert handle
    assert target
    await page.mouse.move(handle["x"] + 8, handle["y"] + 8)
    await page.mouse.down()
    await page.mouse.move(target["x"] + 8, target["y"] + 12, steps=10)
    await page.mouse.up()
    items = page.get_by_role("list", name=re.compile("action")).get_by_role("listitem")
    await expect(items.last).to_contain_text("a · a")
    await page.get_by_role("button", name="Duplicate action 1").click()
    await expect(items).to_have_count(4)
    await page.get_by_role("button", name="Remove action 3").click()
    await _save(page)
    assert [each["name"] for each in (await _stored(desk, "orders"))["actions"]] == ["b", "b", "a"]


async def test_a_message_is_tried_on_what_is_not_saved_yet(desk: Desk, mosquitto: Broker) -> None:
    await desk.configure(mosquitto)
    echo = {"type": "mqtt_publish", "config": {"topic": "fleet/echo", "payload": "{{ payload.id }}"}}
    orders = await _add(desk, "orders", actions=[echo])
    await _add(desk, "echo")
    await desk.system.start_instance("one")
    page = await desk.sign_in(desk.product_path(f"subscriptions/{orders['id']}"))
    sample = {"id": _HOSTILE, "kind": "order", "country": "AT"}
    draft = echo | {"conditions": {"kind": "order", "country": ["DE", "AT"]}}
    await _write(page, 1, draft)
    await expect(page.get_by_label("Message topic")).to_have_value("fleet/orders")
    await page.get_by_label("Payload").fill(json.dumps(sample | {"country": "FR"}))
    await page.get_by_role("button", name="Try it").click()
    result = page.get_by_role("region", name="What orders would do")
    await expect(page.get_by_text("1 of 2 subscriptions matches")).to_be_visible()
    await expect(result.get_by_text("Its conditions do not hold.")).to_be_visible()
    kind = result.get_by_role("row").filter(has_text="kind")
    await expect(kind).to_contain_text("yes")
    country = result.get_by_role("row").filter(has_text="country")
    await expect(country).to_contain_text('["DE","AT"]')
    await expect(country).to_contain_text('"FR"')
    await expect(country).to_contain_text("no")
    await look_at(page, "subscription-try")
    await page.get_by_label("Payload").fill(json.dumps(sample))
    await expect(page.get_by_text("This is for what stood here before")).to_be_visible()
    await page.get_by_role("button", name="Try it").click()
    await expect(result.get_by_text("would send", exact=True)).to_be_visible()
    await expect(result.get_by_text(_HOSTILE, exact=True)).to_be_visible()
    assert await desk.system.received("echo") == 0
    assert (await _stored(desk, "orders"))["actions"] == [echo]


async def test_a_pasted_text_is_tried_on_all_subscriptions(desk: Desk, mosquitto: Broker) -> None:
    await desk.configure(mosquitto)
    headers = {"X-Token": "{{ secrets.hook }}"}
    hook = {
        "type": "http_webhook",
        "config": {"url": "https://example.com/x", "headers": headers, "body": "{{ payload }}"},
    }
    await desk.system.call("PUT", f"/products/{desk.system.product['id']}/secrets/hook", {"value": "made-up"})
    await _add(desk, "orders", topic="fleet/#", actions=[hook], enabled=False)
    await _add(desk, "other")
    page = await desk.sign_in(desk.product_path("subscriptions"))
    await page.get_by_role("link", name="Try a message").click()
    await expect(page).to_have_url(re.compile("/subscriptions/try$"))
    await page.get_by_label("Message topic").fill("fleet/+")
    await page.keyboard.press("Enter")
    await expect(page.get_by_label("Message topic")).to_have_attribute("aria-invalid", "true")
    await page.get_by_label("Message topic").fill("fleet/a")
    await page.get_by_label("Payload").fill(_HOSTILE)
    await expect(page.get_by_text("Not JSON: read as text")).to_be_visible()
    await page.get_by_role("button", name="Try it").click()
    result = page.get_by_role("region", name="What orders would do")
    await expect(result.get_by_text("It is off")).to_be_visible()
    await expect(result.get_by_text("POST https://example.com/x")).to_be_visible()
    await expect(result.get_by_text(_HOSTILE, exact=True)).to_be_visible()
    await expect(result.get_by_text("X-Token: ***")).to_be_visible()
    await expect(page.get_by_text("1 subscription does not match")).to_be_visible()
    await look_at(page, "try")


async def test_two_at_once_see_both_versions(desk: Desk, mosquitto: Broker) -> None:
    await desk.configure(mosquitto)
    stored = await _add(desk, "orders", actions=[_HOOK])
    one = f"{desk.system.path}/subscriptions/{stored['id']}"
    page = await desk.sign_in(desk.product_path(f"subscriptions/{stored['id']}"))
    await page.get_by_label("Description").fill("mine")
    # Something else of the product: nobody needs to choose.
    await _add(desk, "other")
    await _save(page)
    await page.get_by_label("Description").fill("mine again")
    await desk.system.call("PATCH", one, {"description": "theirs", "topic": "fleet/theirs", "actions": []})
    await expect(page.get_by_text("When you save you see both versions and choose.")).to_be_visible()
    await page.get_by_role("button", name="Save…").click()
    dialog = page.get_by_role("dialog", name="Somebody else has saved meanwhile")
    await expect(dialog.get_by_role("row").filter(has_text="Description")).to_contain_text("mine again")
    await expect(dialog.get_by_role("row").filter(has_text="Topic filter")).to_contain_text("fleet/theirs")
    await expect(dialog.get_by_role("row").filter(has_text="Actions")).to_contain_text(
        "https://example.com/a"
    )
    await look_at(page, "subscription-conflict")
    await dialog.get_by_role("button", name="Go on with this choice").click()
    await expect(page.get_by_label("Topic filter", exact=True)).to_have_value("fleet/theirs")
    await _save(page)
    now = await _stored(desk, "orders")
    assert (now["description"], now["topic"], now["actions"]) == ("mine again", "fleet/theirs", [])


async def test_a_copy_is_off_and_a_name_confirms_a_deletion(desk: Desk, mosquitto: Broker) -> None:
    await desk.configure(mosquitto)
    await _add(desk, "orders", actions=[_HOOK])
    page = await desk.sign_in(desk.product_path("subscriptions"))
    await page.get_by_role("button", name="More for orders").click()
    await page.get_by_role("menuitem", name="Duplicate").click()
    await expect(page.get_by_label("Name", exact=True)).to_have_value("orders_copy")
    await expect(page.get_by_role("switch", name=re.compile("^On"))).not_to_be_checked()
    await look_at(page, "subscription-copy")
    await _save(page)
    copy = await _stored(desk, "orders_copy")
    assert (copy["enabled"], copy["actions"], copy["topic"]) == (False, [_HOOK], "fleet/orders")
    await page.get_by_role("button", name="Delete…").click()
    dialog = page.get_by_role("dialog", name="Delete orders_copy?")
    await expect(dialog.get_by_role("button", name="Delete", exact=True)).to_be_disabled()
    await look_at(page, "subscription-delete")
    await dialog.get_by_label("Type orders_copy to confirm").fill("orders_copy")
    await dialog.get_by_role("button", name="Delete", exact=True).click()
    await expect(page).to_have_url(re.compile("/subscriptions$"))
    await expect(page.get_by_role("link", name="orders_copy")).to_have_count(0)


async def test_unsaved_changes_are_guarded_and_survive_a_deletion(desk: Desk, mosquitto: Broker) -> None:
    await desk.configure(mosquitto)
    stored = await _add(desk, "orders")
    page = await desk.sign_in(desk.product_path(f"subscriptions/{stored['id']}"))
    await page.get_by_label("Description").fill("unsaved")
    await page.get_by_role("tab", name="Broker").click()
    await page.get_by_role("button", name="Stay").click()
    await expect(page.get_by_label("Description")).to_have_value("unsaved")
    await desk.system.call("DELETE", f"{desk.system.path}/subscriptions/{stored['id']}")
    await expect(page.get_by_text("Somebody else has deleted this subscription")).to_be_visible()
    await _save(page)
    again = await _stored(desk, "orders")
    assert again["description"] == "unsaved"
    await expect(page).to_have_url(re.compile(rf"/subscriptions/{again['id']}\?saved"))
    await page.goto(f"{desk.url}{desk.product_path('subscriptions/999999')}")
    await expect(page.get_by_role("heading", name="There is no such subscription")).to_be_visible()


async def test_a_switch_shows_at_once_and_goes_back_when_it_fails(desk: Desk, mosquitto: Broker) -> None:
    await desk.configure(mosquitto)
    await _add(desk, "orders")
    page = await desk.sign_in(desk.product_path("subscriptions"))
    switch = page.get_by_role("switch", name="orders on")
    await switch.press("Space")
    await expect(switch).not_to_be_checked()

    async def off() -> bool:
        return not (await _stored(desk, "orders"))["enabled"]

    await eventually(off)
    await page.context.set_offline(True)
    await switch.press("Space")
    await expect(page.get_by_role("alert").get_by_text("orders stays off")).to_be_visible()
    await expect(switch).not_to_be_checked()
    await page.context.set_offline(False)
    assert await off()


async def test_a_thousand_subscriptions_are_few_rows_in_the_document(desk: Desk, mosquitto: Broker) -> None:
    await desk.configure(mosquitto)
    exported = await desk.system.call("GET", f"{desk.system.path}/export")
    names = [f"number_{number:04}" for number in range(1000)]
    many: list[dict[str, Any]] = [
        {"name": name, "topic": f"fleet/{name}", "enabled": True, "description": "", "actions": []}
        for name in names
    ]
    await desk.system.call("POST", f"{desk.system.path}/import", exported | {"subscriptions": many})
    page = await desk.sign_in(desk.product_path("subscriptions"))
    table = page.get_by_role("table", name="Subscriptions")
    await expect(table).to_have_attribute("aria-rowcount", "1001")
    await expect(page.get_by_role("link", name=names[0], exact=True)).to_be_visible()
    assert await table.get_by_role("row").count() < 60
    await page.keyboard.press("End")
    await expect(page.get_by_role("link", name=names[-1], exact=True)).to_be_in_viewport()
    assert await table.get_by_role("row").count() < 60
    await page.get_by_label("Search subscriptions").fill("0500")
    await expect(table.get_by_role("link")).to_have_text(["number_0500"])
    await page.reload()
    await expect(table.get_by_role("link")).to_have_text(["number_0500"])
    await page.get_by_label("Search subscriptions").fill("nothing like it")
    await page.get_by_role("button", name="Show all 1,000").click()
    await expect(page.get_by_role("link", name=names[0], exact=True)).to_be_visible()


async def test_what_others_wrote_is_text(desk: Desk, mosquitto: Broker) -> None:
    await desk.configure(mosquitto)
    action = {
        "type": _HOSTILE,
        "name": _HOSTILE,
        "conditions": {_HOSTILE: _HOSTILE},
        "config": {"url": _HOSTILE, "x": "{{ '{{' }}"},
    }
    stored = await _add(desk, "orders", topic=f"fleet/{_HOSTILE}", description=_HOSTILE, actions=[action])
    page = await desk.sign_in(desk.product_path("subscriptions"))
    await expect(page.get_by_role("row").filter(has_text=_HOSTILE)).to_be_visible()
    await page.get_by_role("link", name="orders").click()
    await expect(page.get_by_label("Description")).to_have_value(_HOSTILE)
    await expect(page.get_by_role("button", name="1. <img")).to_be_visible()
    await expect(_editor(page, 1)).to_contain_text("onerror")
    await page.get_by_label("Payload").fill(_HOSTILE)
    await page.get_by_role("button", name="Try it").click()
    await expect(page.get_by_role("region", name="What orders would do")).to_contain_text(_HOSTILE)
    await look_at(page, "subscription-hostile")
    assert await page.locator("img[src=x]").count() == 0
    assert (await _stored(desk, "orders"))["id"] == stored["id"]


async def test_a_viewer_sees_everything_and_nothing_that_writes(desk: Desk, mosquitto: Broker) -> None:
    await desk.configure(mosquitto)
    stored = await _add(desk, "orders", actions=[_HOOK])
    page = await desk.sign_in(desk.product_path("subscriptions"), role="viewer")
    await expect(page.get_by_role("link", name="orders")).to_be_visible()
    await expect(page.get_by_role("switch")).to_have_count(0)
    for name in ("Add subscription", "Try a message"):
        await expect(page.get_by_role("link", name=name)).to_have_count(0)
    await expect(page.get_by_role("button", name="More for orders")).to_have_count(0)
    await look_at(page, "subscriptions-viewer")
    await page.get_by_role("link", name="orders").click()
    await expect(page.get_by_label("Name", exact=True)).not_to_be_editable()
    await expect(_editor(page, 1)).to_have_attribute("aria-readonly", "true")
    for name in (
        "Save…",
        "Discard",
        "Delete…",
        "Add action",
        "Try it",
        "Move action 1 up",
        "Drag action 1",
        "Remove action 1",
    ):
        await expect(page.get_by_role("button", name=name)).to_have_count(0)
    await expect(page.get_by_role("link", name="Duplicate")).to_have_count(0)
    await look_at(page, "subscription-viewer")
    for path in ("new", "try"):
        await page.goto(f"{desk.url}{desk.product_path(f'subscriptions/{path}')}")
        await expect(page.get_by_role("heading", name=re.compile("Only operators"))).to_be_visible()
    assert (await _stored(desk, "orders"))["id"] == stored["id"]
