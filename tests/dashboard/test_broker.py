"""The Broker tab: enter, test, preview, save, follow, and settle a conflict."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from playwright.async_api import Page, expect

from .conftest import Desk, look_at

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.servers import Broker


async def _save(page: Page) -> None:
    await page.get_by_role("button", name="Save…").click()
    await page.get_by_role("dialog").get_by_role("button", name="Save", exact=True).click()
    await expect(page.get_by_role("dialog")).to_have_count(0)


async def test_entering_a_broker_connects_the_instances(desk: Desk, mosquitto: Broker) -> None:
    desk.system.spawn_instance("one")
    desk.system.spawn_instance("two")
    page = await desk.sign_in(desk.product_path("broker"), role="operator")
    await expect(page.get_by_text("This product has no broker yet")).to_be_visible()
    await page.get_by_label("Host", exact=True).fill("mqtt://broker.example.com")
    await page.get_by_role("button", name="Save…").click()
    await expect(page.get_by_text("Without a scheme")).to_be_visible()
    await expect(page.get_by_label("Host", exact=True)).to_be_focused()
    await page.get_by_label("Host", exact=True).fill("127.0.0.1")
    await page.get_by_label("Port", exact=True).fill(str(mosquitto.port))
    await page.get_by_role("button", name="Test connection").click()
    await expect(page.get_by_text(re.compile(r"Connected in \d+ ms"))).to_be_visible()
    await page.get_by_role("button", name="Save…").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog.get_by_text("each opens a connection")).to_be_visible()
    await look_at(page, "broker-preview")
    await dialog.get_by_role("button", name="Save", exact=True).click()
    await expect(page.get_by_text("on all 2 instances").first).to_be_visible()
    rollout = page.get_by_role("region", name="Rollout")
    await expect(rollout.get_by_text("has it", exact=True)).to_have_count(2)
    header = page.get_by_role("region", name="State of the product")
    await expect(header.get_by_text("2 of 2 connected")).to_be_visible()
    await look_at(page, "broker", image=True)


async def test_what_the_broker_says_comes_with_what_to_do(
    desk: Desk, own_mosquitto: Callable[..., Broker]
) -> None:
    broker = own_mosquitto(passwords={"shop": "made-up"})
    await desk.configure(broker)
    page = await desk.sign_in(desk.product_path("broker"))
    await page.get_by_role("button", name="Test connection").click()
    status = page.get_by_role("status").filter(has_text="Connection failed with code")
    await expect(status).to_be_visible()
    await look_at(page, "broker-refused")
    await page.get_by_label("User name").fill("shop")
    await page.get_by_label("Password", exact=True).fill("made-up")
    await expect(page.get_by_text("The settings have changed since this test.")).to_be_visible()
    await page.get_by_role("button", name="Test connection").click()
    await expect(page.get_by_text(re.compile(r"Connected in \d+ ms"))).to_be_visible()


async def test_a_stored_password_is_never_shown(desk: Desk, mosquitto: Broker) -> None:
    await desk.configure(
        mosquitto, broker={"host": "127.0.0.1", "port": mosquitto.port, "password": "made-up"}
    )
    page = await desk.sign_in(desk.product_path("broker"))
    field = page.get_by_label("Password", exact=True)
    await expect(page.get_by_text("Stored. Leave empty to keep it.")).to_be_visible()
    await expect(field).to_have_value("")
    assert "made-up" not in await page.content()
    await page.get_by_label("Keep alive (seconds)").fill("90")
    await _save(page)
    assert (await _broker(desk))["password"] == "***"
    await page.get_by_role("button", name="Remove the stored password").click()
    await _save(page)
    await expect(page.get_by_text("None is stored.").first).to_be_visible()
    assert (await _broker(desk))["password"] is None


async def test_a_rejection_comes_with_the_reason_of_the_instance(
    desk: Desk, mosquitto: Broker, own_mosquitto: Callable[..., Broker]
) -> None:
    await desk.configure(mosquitto)
    await desk.system.start_instance("one")
    closed = own_mosquitto(passwords={"shop": "made-up"})
    page = await desk.sign_in(desk.product_path("broker"))
    await page.get_by_label("Port", exact=True).fill(str(closed.port))
    await _save(page)
    rollout = page.get_by_role("region", name="Rollout")
    await expect(rollout.get_by_text("rejected it", exact=True)).to_be_visible(timeout=30_000)
    await expect(
        rollout.get_by_text(re.compile("authori[sz]ed|refused|code", re.IGNORECASE)).first
    ).to_be_visible()
    header = page.get_by_role("region", name="State of the product")
    await expect(header.get_by_text("1 of 1 connected")).to_be_visible()
    await look_at(page, "broker-rejected")
    await page.reload()
    await expect(header.get_by_role("status")).to_contain_text(re.compile("^one: .*authori[sz]ed"))


async def test_two_at_once_see_both_versions(desk: Desk, mosquitto: Broker) -> None:
    await desk.configure(mosquitto)
    page = await desk.sign_in(desk.product_path("broker"))
    await page.get_by_label("Keep alive (seconds)").fill("120")
    await desk.configure(mosquitto, topics={"prefix": "/v3/other", "qos": 0})
    await expect(page.get_by_text("When you save you see both versions and choose.")).to_be_visible()
    await page.get_by_role("button", name="Save…").click()
    dialog = page.get_by_role("dialog", name="Somebody else has saved meanwhile")
    row = dialog.get_by_role("row").filter(has_text="Topic prefix")
    await expect(row).to_contain_text("/v3/shop")
    await expect(row).to_contain_text("/v3/other")
    await look_at(page, "broker-conflict")
    await dialog.get_by_role("button", name="Go on with this choice").click()
    await expect(page.get_by_label("Topic prefix")).to_have_value("/v3/other")
    await expect(page.get_by_label("Keep alive (seconds)")).to_have_value("120")
    await _save(page)
    config = (await desk.system.call("GET", desk.system.path))["mqtt_config"]
    assert config["broker"]["keep_alive"] == 120
    assert (config["topics"]["prefix"], config["topics"]["qos"]) == ("/v3/other", 0)


async def test_what_only_the_service_knows_stands_at_its_field(desk: Desk, mosquitto: Broker) -> None:
    await desk.configure(mosquitto)
    page = await desk.sign_in(desk.product_path("broker"))
    await page.get_by_role("button", name="Advanced broker settings").click()
    await page.get_by_label("Trusted authorities").fill("no certificate")
    await page.get_by_role("button", name="Save…").click()
    await expect(page.get_by_label("Trusted authorities")).to_have_attribute("aria-invalid", "true")
    await look_at(page, "broker-advanced")


async def test_unsaved_changes_are_guarded(desk: Desk, mosquitto: Broker) -> None:
    await desk.configure(mosquitto)
    page = await desk.sign_in(desk.product_path("broker"))
    await page.get_by_label("Keep alive (seconds)").fill("120")
    await page.get_by_role("tab", name="Advanced").click()
    await page.get_by_role("button", name="Stay").click()
    await expect(page.get_by_label("Keep alive (seconds)")).to_have_value("120")
    await page.get_by_role("tab", name="Advanced").click()
    await page.get_by_role("button", name="Leave and lose them").click()
    await expect(page).to_have_url(re.compile("/advanced/"))


async def test_a_viewer_sees_settings_and_no_save(desk: Desk, mosquitto: Broker) -> None:
    await desk.configure(mosquitto)
    page = await desk.sign_in(desk.product_path("broker"), role="viewer")
    await expect(page.get_by_label("Host", exact=True)).to_have_value("127.0.0.1")
    await expect(page.get_by_label("Host", exact=True)).not_to_be_editable()
    for name in ("Save…", "Test connection", "Discard"):
        await expect(page.get_by_role("button", name=name)).to_have_count(0)
    await look_at(page, "broker-viewer")


async def _broker(desk: Desk) -> dict[str, Any]:
    return (await desk.system.call("GET", desk.system.path))["mqtt_config"]["broker"]
