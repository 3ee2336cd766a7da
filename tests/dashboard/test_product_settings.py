"""Name and variables, secrets, the product key, and the end of a product."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from playwright.async_api import Page, expect

from tests.support.waiting import eventually

from .conftest import Desk, look_at

if TYPE_CHECKING:
    from tests.support.servers import Broker

_HOSTILE = "<img src=x onerror=alert(1)>"


async def test_changed_variables_reach_the_instances(desk: Desk, mosquitto: Broker) -> None:
    await desk.configure(mosquitto)
    await desk.system.call("POST", f"{desk.system.path}/subscriptions", {"name": "orders"})
    await desk.system.start_instance("one")
    page = await desk.sign_in(desk.product_path("advanced/variables"), role="operator")
    save = page.get_by_role("button", name="Save…")
    await expect(save).to_be_disabled()
    await page.get_by_role("button", name="Add a variable").press("Enter")
    await expect(page.get_by_label("Name of variable 2")).to_be_focused()
    await page.keyboard.type("1st")
    await page.get_by_label("Name of variable 2").press("Tab")
    await expect(page.get_by_text("Letters, digits and _, not a digit first")).to_be_visible()
    await look_at(page, "advanced-variables")
    await page.get_by_label("Name of variable 2").fill("hostile")
    await page.get_by_label("Value of hostile").fill(_HOSTILE)
    await page.get_by_label("Value of application_id").fill("store")
    # A wrong click loses nothing.
    await page.get_by_role("link", name="Secrets").click()
    await page.get_by_role("dialog").get_by_role("button", name="Stay").click()
    await save.click()
    dialog = page.get_by_role("dialog", name="What happens when you save")
    await expect(dialog).to_contain_text("1 subscription resubscribes on 1 instance; no reconnect.")
    await expect(dialog).to_contain_text("$share/bre//v3/shop/store/business-events/orders")
    await look_at(page, "advanced-variables-preview")
    assert (await desk.system.call("GET", desk.system.path))["revision"] == 2
    await dialog.get_by_role("button", name="Save", exact=True).click()
    await expect(page.get_by_role("region", name="Rollout")).to_contain_text("on the instance")
    (found,) = (await desk.system.call("GET", f"{desk.system.path}/subscriptions"))["subscriptions"]
    assert found["topic_filter"] == "$share/bre//v3/shop/store/business-events/orders"
    product = await desk.system.call("GET", f"/products/{desk.system.product['id']}")
    assert product["variables"] == {"application_id": "store", "hostile": _HOSTILE}
    await page.get_by_role("button", name="Remove hostile").press("Enter")
    await expect(page.get_by_role("button", name="Add a variable")).to_be_focused()
    await page.get_by_role("button", name="Discard").click()
    await expect(page.get_by_label("Value of hostile")).to_have_value(_HOSTILE)


async def test_two_who_change_a_product_choose(desk: Desk, mosquitto: Broker) -> None:
    await desk.configure(mosquitto)
    await desk.system.call("POST", "/products", {"name": "taken"})
    product = f"/products/{desk.system.product['id']}"
    page = await desk.sign_in(desk.product_path("advanced/variables"))
    name = page.get_by_label("Name", exact=True)
    await name.fill("taken")
    await page.get_by_role("button", name="Save…").click()
    await expect(page.get_by_text("Another product has this name")).to_be_visible()
    await expect(name).to_be_focused()
    await name.fill("store")
    await page.get_by_label("Value of application_id").fill("mine")
    await desk.system.call("PATCH", product, {"variables": {"application_id": "theirs", "region": "eu"}})
    await page.get_by_role("button", name="Save…").click()
    dialog = page.get_by_role("dialog", name="Somebody else has saved meanwhile")
    mine = dialog.get_by_role("row", name="Variable application_id")
    await expect(mine).to_contain_text("theirs")
    await look_at(page, "advanced-variables-conflict")
    await dialog.get_by_role("button", name="Go on with this choice").click()
    await expect(page.get_by_label("Value of region")).to_have_value("eu")
    await expect(page.get_by_label("Value of application_id")).to_have_value("mine")
    await page.get_by_role("button", name="Save…").click()
    await page.get_by_role("dialog").get_by_role("button", name="Save", exact=True).click()
    await expect(page.get_by_role("heading", name="store", exact=True)).to_be_visible()
    stored = await desk.system.call("GET", product)
    assert (stored["name"], stored["variables"]) == ("store", {"application_id": "mine", "region": "eu"})


async def test_a_secret_is_stored_replaced_and_deleted_and_never_shown(desk: Desk, mosquitto: Broker) -> None:
    await desk.configure(mosquitto)
    await desk.system.start_instance("one")
    page = await desk.sign_in(desk.product_path("advanced/secrets"), role="operator")
    await expect(page.get_by_role("heading", name="No secret yet")).to_be_visible()
    await look_at(page, "advanced-no-secrets")
    await page.get_by_role("button", name="New secret…").click()
    dialog = page.get_by_role("dialog", name="New secret")
    await dialog.get_by_role("button", name="Store").click()
    await expect(dialog.get_by_text("Enter the value")).to_be_visible()
    await expect(dialog.get_by_label("Name")).to_be_focused()
    await look_at(page, "advanced-secret")
    await dialog.get_by_label("Name").fill("orders_token")
    await dialog.get_by_label("Value").fill("made-up-value")
    # A slip loses nothing.
    await page.keyboard.press("Escape")
    question = page.get_by_role("dialog", name="Leave without saving?")
    await expect(question.get_by_role("button", name="Stay")).to_be_focused()
    await look_at(page, "advanced-secret-leave")
    await page.keyboard.press("Escape")
    await expect(question).to_have_count(0)
    await expect(dialog.get_by_label("Value")).to_have_value("made-up-value")
    await expect(dialog.get_by_label("Value")).to_be_focused()
    await dialog.get_by_role("button", name="Store").click()
    table = page.get_by_role("table", name="Secrets")
    row = table.get_by_role("row").nth(1)
    await expect(row).to_contain_text("no action")
    action = {
        "type": "http_webhook",
        "config": {"url": "http://127.0.0.1:9/", "body": "{{ secrets.orders_token }}"},
    }
    await desk.system.call(
        "POST", f"{desk.system.path}/subscriptions", {"name": "orders", "actions": [action]}
    )
    # Another one's change is seen without reading the page anew.
    await expect(row.get_by_title("orders")).to_be_visible()
    await look_at(page, "advanced-secrets")

    await page.get_by_role("button", name="Store another value of orders_token").click()
    dialog = page.get_by_role("dialog", name="Another value of orders_token")
    await expect(dialog.get_by_label("Value")).to_have_value("")
    await dialog.get_by_label("Value").fill("other-made-up-value")
    await dialog.get_by_role("button", name="Store").click()
    await expect(page.get_by_text("1 secret changes in memory on 1 instance; no reconnect.")).to_be_visible()
    await page.get_by_role("button", name="Delete orders_token").click()
    dialog = page.get_by_role("dialog", name="Delete orders_token?")
    await expect(dialog.get_by_role("alert")).to_contain_text(
        "is in use by actions of orders; change those first"
    )
    await expect(dialog.get_by_role("textbox")).to_have_count(0)
    await look_at(page, "advanced-secret-in-use")
    await dialog.get_by_role("button", name="Close").last.click()
    await expect(page.get_by_role("button", name="Delete orders_token")).to_be_focused()
    (found,) = (await desk.system.call("GET", f"{desk.system.path}/subscriptions"))["subscriptions"]
    await desk.system.call("DELETE", f"{desk.system.path}/subscriptions/{found['id']}")
    await expect(row).to_contain_text("no action")
    await desk.system.call("PUT", _product(desk) + "/secrets/stock_token", {"value": "made-up-value"})
    await expect(table.get_by_text("stock_token")).to_be_visible()
    await _delete(page, "orders_token")
    await expect(table.get_by_text("orders_token")).to_have_count(0)
    # What takes the place of the row that is gone.
    await expect(page.get_by_role("button", name="Delete stock_token")).to_be_focused()
    await expect(page.get_by_text("orders_token is deleted.")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_text("orders_token is deleted.")).to_have_count(0)
    await _delete(page, "stock_token")
    await expect(page.get_by_role("heading", name="No secret yet")).to_be_visible()
    await expect(page.get_by_role("main")).to_be_focused()
    assert (await desk.system.call("GET", _product(desk) + "/secrets"))["secrets"] == []
    assert not await _keeps(page, "made-up-value")


async def test_a_secret_that_actions_miss_is_stored(desk: Desk, mosquitto: Broker) -> None:
    page = await desk.sign_in(desk.product_path("advanced/secrets"), role="operator")
    await expect(page.get_by_role("heading", name="No secret yet")).to_be_visible()
    # Without a configuration, too, another one's change is seen.
    await desk.system.call("PUT", _product(desk) + "/secrets/orders_token", {"value": "made-up-value"})
    await expect(page.get_by_role("table", name="Secrets").get_by_text("orders_token")).to_be_visible()
    await desk.configure(mosquitto)
    action = {
        "type": "http_webhook",
        "config": {"url": "http://127.0.0.1:9/", "body": "{{ secrets.stock_token }}"},
    }
    await desk.system.call(
        "POST", f"{desk.system.path}/subscriptions", {"name": "orders", "actions": [action]}
    )
    alert = page.get_by_role("alert", name="One is not stored")
    await expect(alert).to_contain_text("used by orders")
    await look_at(page, "advanced-secret-missing")
    await alert.get_by_role("button", name="Store stock_token").click()
    dialog = page.get_by_role("dialog", name="Store stock_token")
    await expect(dialog.get_by_label("Value")).to_be_focused()
    await dialog.get_by_label("Value").fill("made-up-value")
    await dialog.get_by_role("button", name="Store").click()
    await expect(alert).to_have_count(0)
    await expect(page.get_by_role("table", name="Secrets").get_by_title("orders")).to_be_visible()
    await expect(page.get_by_role("main")).to_be_focused()


async def test_a_new_key_takes_the_place_of_the_old_one(desk: Desk, mosquitto: Broker) -> None:
    await desk.configure(mosquitto)
    instance = await desk.system.start_instance("one")
    page = await desk.sign_in(desk.product_path("advanced/key"))
    first = (await desk.system.call("GET", _product(desk)))["product_key_id"]
    await expect(page.get_by_text(first)).to_be_visible()
    await page.get_by_role("button", name="Make a new key…").click()
    await page.get_by_role("dialog").get_by_role("button", name="Make a new key").click()
    dialog = page.get_by_role("dialog", name="The new key of shop")
    key = await dialog.get_by_label("Secret").inner_text()
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}=", key)
    await look_at(page, "advanced-new-key")
    await page.keyboard.press("Escape")
    await dialog.get_by_role("button", name="I have it").click()
    await expect(dialog).to_have_count(0)
    await expect(page.get_by_text("1 instance still has the old key")).to_be_visible()
    await expect(page.get_by_role("button", name="Make a new key…")).to_be_disabled()
    await look_at(page, "advanced-key")
    assert not await _keeps(page, key)
    await page.get_by_role("button", name="End the old key…").click()
    await expect(page.get_by_role("dialog")).to_contain_text("can open no further change")
    await page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    # Taken along: with the new key it opens what is published, and the old one ends by itself.
    instance.stop()
    desk.system.product["product_key"] = key
    await desk.system.start_instance("one")
    await desk.configure(mosquitto, topics={"qos": 0})
    await eventually(lambda: desk.system.is_connected("one"))
    await expect(page.get_by_role("button", name="Make a new key…")).to_be_enabled()
    await expect(page.get_by_text("is still good")).to_have_count(0)
    product = await desk.system.call("GET", _product(desk))
    assert (product["product_key_id"] != first, product["previous_product_key_id"]) == (True, None)


async def test_an_old_key_can_be_ended_at_once(desk: Desk) -> None:
    await desk.system.call("POST", _product(desk) + "/product-key")
    page = await desk.sign_in(desk.product_path("advanced/key"))
    await page.get_by_role("button", name="End the old key…").click()
    dialog = page.get_by_role("dialog", name="End the old key?")
    await expect(dialog).to_contain_text("No instance that is known has it.")
    await dialog.get_by_role("button", name="End the old key").click()
    await expect(page.get_by_role("button", name="Make a new key…")).to_be_enabled()
    assert (await desk.system.call("GET", _product(desk)))["previous_product_key_id"] is None


async def test_a_configuration_and_a_product_go_once_their_name_is_typed(
    desk: Desk, mosquitto: Broker
) -> None:
    await desk.configure(mosquitto)
    instance = await desk.system.start_instance("one")
    page = await desk.sign_in(desk.product_path("advanced/danger"))
    await page.get_by_role("button", name="Delete the configuration…").click()
    dialog = page.get_by_role("dialog", name="Delete the configuration of shop?")
    await expect(dialog).to_contain_text("On 1 instance: each closes its connection.")
    remove = dialog.get_by_role("button", name="Delete the configuration")
    await dialog.get_by_label("Type shop to confirm").fill("Shop")
    await expect(remove).to_be_disabled()
    await look_at(page, "advanced-delete-configuration")
    await page.keyboard.press("Enter")
    assert (await desk.system.call("GET", desk.system.path))["revision"] == 1
    await dialog.get_by_label("Type shop to confirm").fill("shop")
    await remove.click()
    await expect(page.get_by_text("There is none.")).to_be_visible()
    await expect(page.get_by_text("Not configured")).to_be_visible()
    await eventually(lambda: _is_idle(desk))
    await look_at(page, "advanced-danger")
    # What the page promises: the history brings it back.
    await page.get_by_role("link", name="History").click()
    await page.get_by_role("button", name="Restore revision 1…").click()
    await page.get_by_role("dialog").get_by_role("button", name="Restore", exact=True).click()
    await eventually(lambda: desk.system.is_connected("one"))

    await page.get_by_role("link", name="Danger zone").click()
    await page.get_by_role("button", name="Delete the product…").click()
    dialog = page.get_by_role("dialog", name="Delete shop?")
    await expect(dialog).to_contain_text("On 1 instance: each closes its connection.")
    await look_at(page, "advanced-delete-product")
    await dialog.get_by_label("Type shop to confirm").fill("shop")
    await dialog.get_by_role("button", name="Delete the product").click()
    await expect(page).to_have_url(f"{desk.url}/")
    await expect(page.get_by_role("heading", name="No product yet")).to_be_visible()
    await desk.system.call("GET", _product(desk), expect=404)
    assert instance.running


async def test_a_viewer_sees_settings_and_changes_none(desk: Desk, mosquitto: Broker) -> None:
    await desk.configure(mosquitto)
    await desk.system.call("PUT", _product(desk) + "/secrets/orders_token", {"value": "made-up"})
    await desk.system.call("POST", _product(desk) + "/product-key")
    page = await desk.sign_in(desk.product_path("advanced/variables"), role="viewer")
    await expect(page.get_by_label("Value of application_id")).to_have_value("shop")
    await expect(page.get_by_label("Value of application_id")).not_to_be_editable()
    await expect(page.get_by_label("Name", exact=True)).not_to_be_editable()
    sections = page.get_by_role("navigation", name="Advanced").get_by_role("link")
    assert "Danger zone" not in await sections.all_inner_texts()
    for section, shown in (
        ("variables", page.get_by_label("Value of application_id")),
        ("secrets", page.get_by_role("table", name="Secrets").get_by_text("orders_token")),
        ("key", page.get_by_text("is still good")),
        ("danger", page.get_by_role("heading", name="Not for your role")),
    ):
        await page.goto(desk.url + desk.product_path(f"advanced/{section}"))
        await expect(shown).to_be_visible()
        assert await page.get_by_role("main").get_by_role("button").all_inner_texts() == []


async def test_an_operator_deletes_the_configuration_alone(desk: Desk, mosquitto: Broker) -> None:
    await desk.configure(mosquitto)
    page = await desk.sign_in(desk.product_path("advanced/danger"), role="operator")
    await expect(page.get_by_role("main").get_by_role("button")).to_have_text(["Delete the configuration…"])
    await page.get_by_role("link", name="Product key").click()
    await expect(page.get_by_text("An administrator can make a new one.")).to_be_visible()
    await expect(page.get_by_role("main").get_by_role("button")).to_have_count(0)


async def _delete(page: Page, secret: str) -> None:
    await page.get_by_role("button", name=f"Delete {secret}").click()
    dialog = page.get_by_role("dialog", name=f"Delete {secret}?")
    await expect(dialog).to_contain_text("No action refers to it.")
    await dialog.get_by_label(f"Type {secret} to confirm").fill(secret)
    await page.keyboard.press("Enter")
    await expect(dialog).to_have_count(0)


def _product(desk: Desk) -> str:
    return f"/products/{desk.system.product['id']}"


async def _keeps(page: Page, secret: str) -> bool:
    """Is it in the page, its address, its history or what the browser stores for it?"""
    places = "{...localStorage}, {...sessionStorage}, history.state, location.href, document.cookie"
    kept = await page.evaluate(f"() => JSON.stringify([{places}])")
    return secret in kept or secret in await page.content()


async def _is_idle(desk: Desk) -> bool:
    answer: dict[str, Any] = await desk.system.call("GET", f"{desk.system.path}/instances")
    (one,) = answer["instances"]
    return one["state"] == "live" and not one["connected"]
