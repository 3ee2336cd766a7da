"""Export and import: the whole configuration as a file, and nothing written unseen."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from playwright.async_api import Page, expect

from .conftest import Desk, look_at

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.servers import Broker

_HOSTILE = "<img src=x onerror=alert(1)>"
_EVENTS: dict[str, Any] = {
    "configuration": {
        "qos": 2,
        "clean_session": True,
        "shared_subscription": True,
        "shared_group_prefix": "$share/events/",
    },
    "events": [
        {
            "name": "new_order",
            "description": _HOSTILE,
            "topic": "/v3/shop/new-order",
            "enabled": True,
            "actions": [
                {
                    "name": "mail",
                    "type": "conditional_email",
                    "description": "",
                    "conditions": {"payload.kind": "ANY"},
                    "email": {"to": "a@example.com"},
                }
            ],
        },
        {"name": "orders", "topic": "/v3/shop/orders", "enabled": False, "actions": []},
    ],
}


async def test_an_export_is_what_an_import_takes_back(desk: Desk, mosquitto: Broker, tmp_path: Path) -> None:
    await desk.configure(
        mosquitto, broker={"host": "127.0.0.1", "port": mosquitto.port, "password": "made-up"}
    )
    await _add_subscription(desk, "orders")
    page = await desk.sign_in(desk.product_path("advanced/transfer"), role="operator")
    async with page.expect_download() as waiting:
        await page.get_by_role("button", name="Download").click()
    download = await waiting.value
    assert download.suggested_filename == "shop-revision-2.json"
    file = tmp_path / "export.json"
    await download.save_as(file)
    assert [each["name"] for each in json.loads(file.read_text())["subscriptions"]] == ["orders"]
    assert "made-up" not in file.read_text()

    await desk.system.start_instance("one")
    config = await desk.system.call("GET", desk.system.path)
    orders = f"{desk.system.path}/subscriptions/{config['subscriptions'][0]['id']}"
    await desk.system.call("PATCH", orders, {"description": _HOSTILE})
    await _add_subscription(desk, "payments")
    await page.locator("input[type=file]").set_input_files(file)
    preview = page.get_by_role("region", name="What the import would change")
    await expect(preview).to_contain_text("An export of shop at revision 2 with 1 subscription.")
    await expect(preview.get_by_role("status")).to_have_text("1 subscription changed, 1 removed.")
    await expect(preview).to_contain_text("1 subscription ends on 1 instance; no reconnect.")
    changed = preview.get_by_role("region", name="Subscription orders")
    await expect(changed.get_by_role("row", name="Description")).to_contain_text(_HOSTILE)
    await look_at(page, "advanced-import")
    assert (await desk.system.call("GET", desk.system.path))["revision"] == 4

    await preview.get_by_role("button", name="Import", exact=True).click()
    await expect(page.get_by_text("Revision 5 is saved")).to_be_visible()
    await expect(page.get_by_label("Or paste its content")).to_have_value("")
    await expect(page.get_by_role("region", name="Rollout")).to_contain_text("on the instance")
    config = await desk.system.call("GET", desk.system.path)
    assert [each["name"] for each in config["subscriptions"]] == ["orders"]
    assert config["subscriptions"][0]["description"] == ""
    assert config["mqtt_config"]["broker"]["password"] == "***"
    # The same file once more.
    await page.locator("input[type=file]").set_input_files(file)
    await expect(preview.get_by_role("status")).to_have_text("Nothing differs from what is configured now.")
    await expect(preview.get_by_role("button", name="Import", exact=True)).to_be_disabled()


async def test_a_file_with_faults_is_told_where_they_are_and_nothing_is_written(
    desk: Desk, mosquitto: Broker
) -> None:
    await desk.configure(mosquitto)
    page = await desk.sign_in(desk.product_path("advanced/transfer"))
    area, check = (
        page.get_by_label("Or paste its content"),
        page.get_by_role("button", name="Check", exact=True),
    )
    await expect(check).to_be_disabled()
    await area.fill('{"format": "mqtt-config/1",}')
    await check.click()
    await expect(page.get_by_text("It is not JSON")).to_be_visible()
    await expect(area).to_have_attribute("aria-invalid", "true")
    document = {
        "format": "mqtt-config/1",
        "broker": {"host": "127.0.0.1", "port": 99999},
        "subscriptions": [{"name": "orders"}, {"name": "payments", "topic": "a/#/b"}],
        _HOSTILE: 1,
    }
    text = json.dumps(document, indent=2)
    await area.fill(text)
    await check.click()
    faults = page.get_by_role("alert").get_by_role("listitem")
    await expect(faults).to_have_count(3)
    await expect(faults.nth(0)).to_contain_text("Line 5, broker › port: must be at most 65535")
    await expect(faults.nth(1)).to_contain_text("Line 13, subscriptions › 2 › topic")
    await expect(faults.nth(2)).to_contain_text(_HOSTILE)
    await look_at(page, "advanced-import-faults")
    await faults.nth(0).get_by_role("button").press("Enter")
    await expect(area).to_be_focused()
    assert await _selected(page) == "99999"
    assert (await desk.system.call("GET", desk.system.path))["revision"] == 1
    # Corrected, it can be checked again.
    await area.fill(
        text.replace("99999", "1883")
        .replace("a/#/b", "a/b")
        .replace(_HOSTILE, "product")
        .replace(": 1\n", ': "shop"\n')
    )
    await expect(faults).to_have_count(0)
    await check.click()
    await expect(page.get_by_role("region", name="What the import would change")).to_contain_text(
        "2 subscriptions added"
    )
    # What was entered is not lost by a wrong click.
    await page.get_by_role("link", name="Secrets").click()
    await page.get_by_role("dialog").get_by_role("button", name="Stay").click()
    await expect(area).not_to_have_value("")


async def test_a_file_of_before_adds_its_events(desk: Desk, mosquitto: Broker, tmp_path: Path) -> None:
    file = tmp_path / "mqtt_events.json"
    file.write_text(json.dumps(_EVENTS))
    page = await desk.sign_in(desk.product_path("advanced/transfer"), role="operator")
    await expect(page.get_by_role("button", name="Download")).to_be_disabled()
    await page.locator("input[type=file]").set_input_files(file)
    # It has no broker of its own.
    await expect(page.get_by_role("alert")).to_contain_text("Enter the broker first")
    await page.get_by_role("button", name="Check", exact=True).wait_for()
    await desk.configure(mosquitto)
    await _add_subscription(desk, "orders")
    await _add_subscription(desk, "payments")
    await desk.system.start_instance("one")
    await expect(page.get_by_role("button", name="Download")).to_be_enabled()
    await page.locator("input[type=file]").set_input_files(file)
    preview = page.get_by_role("region", name="What the import would change")
    await expect(preview).to_contain_text("A mqtt_events.json with 2 events.")
    await expect(preview.get_by_role("status")).to_have_text(
        "1 subscription added, 1 changed; topics changed."
    )
    await expect(preview).to_contain_text(
        "new_order › actions › 1 › type: no live instance can run 'conditional_email'"
    )
    added = preview.get_by_role("region", name="Subscription new_order")
    await expect(added.get_by_role("row", name="Description")).to_contain_text(_HOSTILE)
    await expect(added.get_by_role("row", name="Action 1 › config › to")).to_contain_text("a@example.com")
    await preview.get_by_role("button", name="Import", exact=True).click()
    await expect(page.get_by_text("Revision 4 is saved")).to_be_visible()
    config = await desk.system.call("GET", desk.system.path)
    assert [(each["name"], each["enabled"]) for each in config["subscriptions"]] == [
        ("orders", False),
        ("payments", True),
        ("new_order", True),
    ]
    topics = config["mqtt_config"]["topics"]
    assert (topics["qos"], topics["shared_group"], topics["prefix"]) == (2, "events", "/v3/shop")


async def test_an_import_is_for_what_was_shown(desk: Desk, mosquitto: Broker) -> None:
    await desk.configure(mosquitto)
    page = await desk.sign_in(desk.product_path("advanced/transfer"))
    area = page.get_by_label("Or paste its content")
    await area.fill(json.dumps(_EVENTS))
    await page.get_by_role("button", name="Check", exact=True).click()
    write = page.get_by_role("button", name="Import", exact=True)
    await expect(write).to_be_enabled()
    await _add_subscription(desk, "orders")
    await write.click()
    await expect(page.get_by_role("alert").get_by_text("Somebody else has saved meanwhile")).to_be_visible()
    await expect(write).to_be_disabled()
    assert len((await desk.system.call("GET", desk.system.path))["subscriptions"]) == 1
    await page.get_by_role("button", name="Check again").click()
    await expect(page.get_by_text("1 subscription added, 1 changed; topics changed.")).to_be_visible()
    await write.click()
    await expect(page.get_by_text("Revision 3 is saved")).to_be_visible()


async def test_what_is_too_large_is_refused_before_it_is_sent(
    desk: Desk, mosquitto: Broker, tmp_path: Path
) -> None:
    await desk.configure(mosquitto)
    file = tmp_path / "large.json"
    file.write_text(json.dumps({"format": "x" * 1_000_001}))
    page = await desk.sign_in(desk.product_path("advanced/transfer"))
    await page.locator("input[type=file]").set_input_files(file)
    await expect(page.get_by_text("It is larger than 1 MB")).to_be_visible()
    await expect(page.get_by_label("Or paste its content")).to_have_value("")


async def test_a_viewer_exports_and_imports_nothing(desk: Desk, mosquitto: Broker) -> None:
    await desk.configure(mosquitto)
    page = await desk.sign_in(desk.product_path("advanced/transfer"), role="viewer")
    async with page.expect_download() as waiting:
        await page.get_by_role("button", name="Download").click()
    assert (await waiting.value).suggested_filename == "shop-revision-1.json"
    await expect(page.get_by_role("main").get_by_role("button")).to_have_text(["Download"])
    await expect(page.get_by_role("main").get_by_role("textbox")).to_have_count(0)


async def _add_subscription(desk: Desk, name: str) -> None:
    await desk.system.call("POST", f"{desk.system.path}/subscriptions", {"name": name})


async def _selected(page: Page) -> str:
    return str(await page.evaluate("() => getSelection().toString()"))
