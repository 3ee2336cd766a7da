"""The Advanced tab: instances, history, files, variables, secrets, the key, and the end."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from playwright.async_api import Page, expect

from tests.support.waiting import eventually

from .conftest import Desk, look_at

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.servers import Broker

_HOSTILE = "<img src=x onerror=alert(1)>"


async def test_each_instance_tells_how_it_is(desk: Desk, mosquitto: Broker) -> None:
    page = await desk.sign_in(desk.product_path("advanced"), role="operator")
    await expect(page).to_have_url(re.compile("/advanced/instances$"))
    await expect(page.get_by_role("heading", name="No instance has reported yet")).to_be_visible()
    await look_at(page, "advanced-no-instances")
    await desk.configure(mosquitto)
    await desk.system.start_instance("one")
    stopping = await desk.system.start_instance("two")
    table = page.get_by_role("table", name="Instances")
    await expect(table.get_by_text("Connected", exact=True)).to_have_count(2)
    await expect(table.get_by_text("up to date")).to_have_count(2)
    await expect(page.get_by_text("2 instances: 2 connected")).to_be_visible()
    stopping.stop()
    await expect(table.get_by_text("Stopped")).to_be_visible()
    await look_at(page, "advanced", image=True)
    await page.get_by_label("Search instances").fill("TWO")
    await expect(table.get_by_role("link")).to_have_text(["two"])
    await page.get_by_role("combobox", name="Filter by state").click()
    await page.get_by_role("option", name="Connected", exact=True).click()
    await expect(page.get_by_role("heading", name="No instance matches")).to_be_visible()
    await page.get_by_role("button", name="Show all 2").click()
    await page.get_by_role("columnheader", name="Instance").get_by_role("button").click()
    await expect(table.get_by_role("link")).to_have_text(["two", "one"])
    await page.reload()
    await expect(table.get_by_role("link")).to_have_text(["two", "one"])


async def test_one_instance_can_be_told_to_reconnect(desk: Desk, mosquitto: Broker) -> None:
    await desk.configure(mosquitto)
    await desk.system.start_instance("one")
    await desk.system.start_instance("two")
    page = await desk.sign_in(desk.product_path("advanced/instances/one"), role="operator")
    drawer = page.get_by_role("dialog", name="one")
    await expect(drawer.get_by_text("the current one")).to_be_visible()
    await expect(drawer.get_by_text("http_webhook")).to_be_visible()
    await expect(drawer.get_by_text(str(mosquitto.port))).to_be_visible()
    await look_at(page, "advanced-instance")
    before = await _connected_since(desk)
    await drawer.get_by_role("button", name="Reconnect…").click()
    dialog = page.get_by_role("dialog", name="Reconnect one?")
    await dialog.get_by_role("button", name="Reconnect", exact=True).click()
    await expect(page.get_by_text("1 of 1 instance answered.")).to_be_visible()
    await eventually(lambda: _has_moved(desk, before, {"one"}))
    await expect(drawer.locator(":focus")).to_have_count(1)
    await page.keyboard.press("Escape")
    await expect(page).to_have_url(re.compile("/advanced/instances$"))
    await page.get_by_role("link", name="two").press("Enter")
    await expect(page.get_by_role("dialog", name="two")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("link", name="two")).to_be_focused()
    await page.get_by_role("button", name="Reconnect all…").click()
    await page.get_by_role("dialog").get_by_role("button", name="Reconnect", exact=True).click()
    await expect(page.get_by_text("2 of 2 instances answered.")).to_be_visible()
    await eventually(lambda: _has_moved(desk, before, {"one", "two"}))
    await page.goto(desk.url + desk.product_path("advanced/instances/nobody"))
    await expect(page.get_by_text("There is no such instance")).to_be_visible()


async def test_who_does_not_answer_is_told(desk: Desk, mosquitto: Broker) -> None:
    await desk.configure(mosquitto)
    await desk.system.start_instance("one")
    frozen = await desk.system.start_instance("two")
    page = await desk.sign_in(desk.product_path("advanced"))
    await expect(page.get_by_text("2 instances: 2 connected")).to_be_visible()
    await page.get_by_role("button", name="Reconnect all…").click()
    frozen.freeze()
    await page.get_by_role("dialog").get_by_role("button", name="Reconnect", exact=True).click()
    await expect(page.get_by_text(re.compile("1 of 2 instances answered in time"))).to_be_visible()
    await expect(page.get_by_role("table", name="Instances").get_by_text("Silent")).to_be_visible()


async def test_a_rejection_and_a_lost_broker_come_with_their_reasons(
    desk: Desk, own_mosquitto: Callable[..., Broker]
) -> None:
    broker, closed = own_mosquitto(), own_mosquitto(passwords={"shop": "made-up"})
    await desk.configure(broker)
    await desk.system.start_instance("one")
    page = await desk.sign_in(desk.product_path("advanced"))
    table = page.get_by_role("table", name="Instances")
    await desk.configure(closed)
    await expect(table.get_by_text(re.compile(r"rejected 2: .+"))).to_be_visible(timeout=30_000)
    broker.process.kill()
    await expect(table.get_by_text("Not connected", exact=True)).to_be_visible()
    await page.get_by_role("combobox", name="Filter by state").click()
    await page.get_by_role("option", name="Not up to date").click()
    await expect(table.get_by_role("link")).to_have_text(["one"])
    await look_at(page, "advanced-rejected")


async def test_many_instances_are_read_page_by_page(desk: Desk) -> None:
    for number in range(450):
        await desk.system.call("POST", f"{desk.system.path}/status", _heartbeat(desk, f"shop-{number}"))
    page = await desk.sign_in(desk.product_path("advanced"))
    table = page.get_by_role("table", name="Instances")
    await expect(table).to_have_attribute("aria-rowcount", "451", timeout=30_000)
    assert await table.get_by_role("row").count() < 60
    await page.keyboard.press("End")
    await expect(page.get_by_role("link", name="shop-449")).to_be_in_viewport()


async def test_the_history_says_who_changed_what_and_goes_back(desk: Desk, mosquitto: Broker) -> None:
    await desk.configure(mosquitto)
    await desk.system.call(
        "POST", f"{desk.system.path}/subscriptions", {"name": "orders", "description": _HOSTILE}
    )
    await desk.configure(mosquitto, topics={"prefix": _HOSTILE, "qos": 0})
    await desk.system.start_instance("one")
    page = await desk.sign_in(desk.product_path("advanced/history"), role="operator")
    table = page.get_by_role("table", name="History")
    newest = table.get_by_role("row").nth(1)
    await expect(newest).to_contain_text("Broker and topics changed")
    await expect(newest).to_contain_text("Topics: Topic prefix, Quality of service")
    await expect(newest).to_contain_text("by administrator")
    await expect(newest.get_by_text("current")).to_be_visible()
    await look_at(page, "advanced-history")
    await page.get_by_role("link", name="Revision 3").click()
    topics = page.get_by_role("region", name="Topics")
    await expect(topics.get_by_role("row", name="Topic prefix")).to_contain_text(f"/v3/shop{_HOSTILE}")
    await look_at(page, "advanced-revision")
    await page.get_by_label("Compare with revision").fill("1")
    await page.get_by_role("button", name="Compare", exact=True).click()
    await expect(page).to_have_url(re.compile(r"/history/3\?against=1$"))
    await expect(page.get_by_role("region", name="Subscription orders")).to_contain_text("added")
    await page.get_by_label("Compare with revision").fill("99")
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("There is no revision 99")).to_be_visible()
    await page.get_by_role("link", name="All revisions").click()
    await page.get_by_role("button", name="Restore revision 1…").click()
    dialog = page.get_by_role("dialog", name="Restore revision 1?")
    await expect(dialog.get_by_text("1 subscription ends on 1 instance")).to_be_visible()
    await look_at(page, "advanced-restore")
    assert (await desk.system.call("GET", desk.system.path))["revision"] == 3
    await dialog.get_by_role("button", name="Restore", exact=True).click()
    await expect(page.get_by_text("It is revision 4 now.")).to_be_visible()
    await expect(table.get_by_role("row").nth(1)).to_contain_text("Older revision restored")
    config = await desk.system.call("GET", desk.system.path)
    assert (config["mqtt_config"]["topics"]["prefix"], config["subscriptions"]) == ("/v3/shop", [])


async def test_a_restore_is_for_what_was_shown(desk: Desk, mosquitto: Broker) -> None:
    await desk.configure(mosquitto)
    await desk.configure(mosquitto, topics={"qos": 0})
    page = await desk.sign_in(desk.product_path("advanced/history/1"))
    await page.get_by_role("button", name="Restore…").click()
    dialog = page.get_by_role("dialog", name="Restore revision 1?")
    await expect(dialog.get_by_role("button", name="Restore", exact=True)).to_be_enabled()
    await desk.configure(mosquitto, topics={"qos": 2})
    await dialog.get_by_role("button", name="Restore", exact=True).click()
    await expect(dialog.get_by_text("Somebody else has saved meanwhile")).to_be_visible()
    await expect(dialog.get_by_role("button", name="Restore", exact=True)).to_be_disabled()
    await dialog.get_by_role("button", name="Look again").click()
    await dialog.get_by_role("button", name="Restore", exact=True).click()
    await expect(page.get_by_text("It is revision 4 now.")).to_be_visible()


async def test_a_long_history_comes_page_by_page(desk: Desk, mosquitto: Broker) -> None:
    for number in range(30):
        await desk.configure(mosquitto, topics={"prefix": f"/v3/{number}"})
    page = await desk.sign_in(desk.product_path("advanced/history"))
    table = page.get_by_role("table", name="History")
    await expect(table).to_have_attribute("aria-rowcount", "26")
    await page.get_by_role("button", name="Show older ones").click()
    await expect(table).to_have_attribute("aria-rowcount", "31")
    await expect(page.get_by_role("button", name="Show older ones")).to_have_count(0)


@pytest.mark.parametrize("section", ["instances", "history", "history/1"])
async def test_a_viewer_is_offered_nothing_that_writes(desk: Desk, mosquitto: Broker, section: str) -> None:
    await desk.configure(mosquitto)
    await desk.configure(mosquitto, topics={"qos": 0})
    await desk.system.start_instance("one")
    page = await desk.sign_in(desk.product_path(f"advanced/{section}"), role="viewer")
    await expect(page.get_by_role("heading", level=2)).to_be_visible()
    await expect(page.get_by_label("Loading")).to_have_count(0)
    assert await _writing(page) == []


async def _writing(page: Page) -> list[str]:
    """The names of buttons that change something."""
    names = await page.get_by_role("main").get_by_role("button").all_inner_texts()
    quiet = {"Compare", "What it changed", "With the current one", ""}
    headers = {"Instance", "State", "Revision", "Messages", "Failures", "Heartbeat"}
    return [each for each in names if each not in quiet | headers]


async def _connected_since(desk: Desk) -> dict[str, str]:
    answer: dict[str, Any] = await desk.system.call("GET", f"{desk.system.path}/instances")
    return {each["instance_id"]: each["connected_since"] for each in answer["instances"]}


async def _has_moved(desk: Desk, before: dict[str, str], names: set[str]) -> bool:
    now = await _connected_since(desk)
    return {name for name in now if now[name] and now[name] != before[name]} == names


def _heartbeat(desk: Desk, name: str) -> dict[str, Any]:
    return {
        "product_id": desk.system.product["id"],
        "instance_id": name,
        "boot_id": "018f0000-0000-7000-8000-000000000001",
        "seq": 1,
        "sent_at": "2026-01-31T08:00:05Z",
        "started_at": "2026-01-31T08:00:00Z",
        "interval": 60,
        "connected": True,
    }
