"""The Activity tab: figures, connections and events, as they come."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from playwright.async_api import Locator, Page, expect

from tests.e2e.conftest import publish
from tests.support.waiting import eventually

from .conftest import Desk, look_at

if TYPE_CHECKING:
    from tests.support.servers import Broker

HOSTILE = "<img src=x onerror=\"document.title='taken'\"> & <b>bold</b>"


def _events(page: Page) -> Locator:
    return page.get_by_role("list", name="Events, the newest first").get_by_role("listitem")


def _card(page: Page, title: str) -> Locator:
    return page.get_by_role("region", name=title, exact=True)


async def _subscribe(desk: Desk, name: str, **fields: Any) -> int:
    made = await desk.system.call("POST", f"{desk.system.path}/subscriptions", {"name": name, **fields})
    return made["id"]


async def test_figures_follow_the_messages(desk: Desk, mosquitto: Broker, nats_root: str) -> None:
    await desk.configure(mosquitto)
    topic = f"{nats_root}/{{}}"
    reply = [{"type": "healthcheck_response"}]
    failing = [{"type": "http_webhook", "config": {"url": "http://127.0.0.1:9/", "timeout_seconds": 1}}]
    paid = await _subscribe(desk, "paid", topic=topic.format("paid"), actions=reply)
    await _subscribe(desk, "sent", topic=topic.format("sent"), actions=failing)
    await desk.system.start_instance("one")
    await desk.system.start_instance("two")
    page = await desk.sign_in(desk.product_path("activity"), role="viewer")
    messages = _card(page, "Messages and actions per second")
    await expect(messages.get_by_text("No message.")).to_be_visible()
    await publish(mosquitto.port, topic.format("paid"), range(30))
    await publish(mosquitto.port, topic.format("sent"), range(3))
    # Nothing is pressed: the figures come by themselves.
    await expect(messages.get_by_text(re.compile("^33 messages"))).to_be_visible(timeout=60_000)
    await expect(_card(page, "Connected instances").get_by_text("Newest: 2.")).to_be_visible()
    await expect(_card(page, "Processing time").get_by_text(re.compile("half within"))).to_be_visible()
    await messages.get_by_text("Show as a table").click()
    table = messages.get_by_role("region", name="Messages and actions per second: figures")
    await expect(table.get_by_role("row").nth(1)).to_be_visible()
    await look_at(page, "activity-table")
    await messages.get_by_text("Show as a table").click()
    await page.get_by_label("Figures of").select_option("paid")
    await expect(page).to_have_url(re.compile(f"subscription={paid}"))
    await expect(messages.get_by_text(re.compile("^30 messages"))).to_be_visible()
    await expect(_card(page, "Connected instances").get_by_text("Not known of a single")).to_be_visible()
    await page.reload()
    await expect(page.get_by_label("Figures of")).to_have_value(str(paid))
    await expect(messages.get_by_text(re.compile("^30 messages"))).to_be_visible()
    await page.get_by_label("Figures of").select_option("All subscriptions")
    for label, name in (("6 h", "6h"), ("24 h", "24h"), ("7 d", "7d"), ("30 d", "30d")):
        await page.get_by_role("radiogroup", name="Range").get_by_text(label, exact=True).click()
        await expect(page).to_have_url(re.compile(f"range={name}"))
        await expect(messages.get_by_text(re.compile("^33 messages"))).to_be_visible()
    await page.get_by_role("radiogroup", name="Range").get_by_text("1 h", exact=True).click()
    failed = _card(page, "Failed actions").get_by_text(re.compile(r"^3 of \d+ actions failed"))
    await expect(failed).to_be_visible(timeout=60_000)
    await look_at(page, "activity", image=True)


async def test_events_come_by_themselves_and_are_not_asked_for(desk: Desk, mosquitto: Broker) -> None:
    await desk.configure(mosquitto)
    page = await desk.sign_in(desk.product_path("activity"), role="operator")
    await expect(_events(page)).to_have_count(1)
    await expect(_events(page).first).to_contain_text("administrator saved the settings: revision 1")
    await expect(page.get_by_text("No instance was there in the last hour.")).to_be_visible()
    asked = list[str]()
    page.on("request", lambda request: asked.append(request.url) if "/activity?" in request.url else None)
    process = await desk.system.start_instance("one")
    for text in ("one started", "one connected to the broker", "one applied revision 1"):
        await expect(_events(page).filter(has_text=text)).to_have_count(1)
    lane = page.get_by_role("img", name=re.compile("^one: connected at the end"))
    await expect(lane).to_be_visible(timeout=20_000)
    # Once the stream stands, everything has been read anew; from here on it tells all.
    asked.clear()
    bad = {"host": "127.0.0.1", "port": 1}
    await desk.system.call("PUT", desk.system.path, {"broker": bad})
    rejected = _events(page).filter(has_text="one rejected revision 2")
    await expect(rejected).to_contain_text("Nothing listens on 127.0.0.1:1", timeout=30_000)
    process.kill()
    await expect(_events(page).first).to_contain_text("one is silent", timeout=20_000)
    await expect(page.get_by_role("img", name=re.compile("^one: silent at the end"))).to_be_visible(
        timeout=20_000
    )
    assert asked == []
    listed = (await desk.system.call("GET", f"{desk.system.path}/activity"))["activity"]
    await expect(_events(page)).to_have_count(len(listed))
    connections = page.get_by_role("region", name="Connections", exact=True)
    await connections.get_by_text("Show as a table").click()
    table = page.get_by_role("region", name="Connections: table")
    await expect(table.get_by_role("row").filter(has_text="silent")).to_have_count(1)
    await look_at(page, "activity-events")


async def test_what_was_missed_is_caught_up(desk: Desk, mosquitto: Broker) -> None:
    await desk.configure(mosquitto)
    page = await desk.sign_in(desk.product_path("activity"))
    await expect(_events(page)).to_have_count(1)
    await page.context.set_offline(True)
    for number in range(3):
        await desk.configure(mosquitto, topics={"prefix": f"/v{number}"})
    await page.context.set_offline(False)
    await expect(_events(page)).to_have_count(4, timeout=30_000)


async def test_older_events_come_page_by_page(desk: Desk, mosquitto: Broker) -> None:
    for number in range(120):
        await desk.configure(mosquitto, topics={"prefix": f"/v{number}"})
    page = await desk.sign_in(desk.product_path("activity"))
    await expect(_events(page)).to_have_count(100)
    await desk.configure(mosquitto, topics={"prefix": "/meanwhile"})
    await expect(_events(page).first).to_contain_text("revision 121")
    await page.get_by_role("button", name="Load older").click()
    await expect(page.get_by_text("Nothing older is kept.")).to_be_visible()
    told = [re.search(r"revision (\d+)", text) for text in await _events(page).all_inner_texts()]
    assert [int(found[1]) for found in told if found] == list(range(121, 0, -1))
    await page.get_by_role("link", name="What changed in revision 120").click()
    await expect(page).to_have_url(re.compile("/advanced/history/120"))
    await expect(page.get_by_text("/v119")).to_be_visible()


async def test_what_comes_from_outside_is_text(desk: Desk, mosquitto: Broker) -> None:
    token = (await desk.system.call("POST", "/tokens", {"name": HOSTILE, "role": "operator"}))["token"]
    await desk.configure(mosquitto)
    now = datetime.now(UTC)
    beat = {
        "product_id": desk.system.product["id"],
        "instance_id": "odd",
        "boot_id": "b1",
        "seq": 1,
        "sent_at": now.isoformat(),
        "started_at": now.isoformat(),
        "interval": 3600,
        "applied_revision": 1,
        "connected": True,
    }
    await desk.system.call("POST", f"{desk.system.path}/status", beat)
    page = await desk.sign_in(desk.product_path("activity"))
    await expect(_events(page).filter(has_text="odd connected")).to_have_count(1)
    lost = {"connected": False, "connection_error": HOSTILE, "rejected": {"revision": 1, "error": HOSTILE}}
    await desk.system.call("POST", f"{desk.system.path}/status", beat | lost | {"seq": 2})
    name = {"name": "paid"}
    await desk.system.call("POST", f"{desk.system.path}/subscriptions", name, Authorization=f"Bearer {token}")
    for text in ("odd lost the broker", "odd rejected revision 1"):
        await expect(_events(page).filter(has_text=text)).to_contain_text(HOSTILE)
    await expect(_events(page).filter(has_text="added a subscription")).to_contain_text(HOSTILE)
    await page.reload()
    await expect(_events(page).filter(has_text=HOSTILE)).to_have_count(3)
    assert await page.locator("main img:not([role])").count() == 0
    await expect(page).to_have_title("shop · MQTT control plane")
    await look_at(page, "activity-hostile")


async def test_a_range_of_its_own(desk: Desk, mosquitto: Broker) -> None:
    await desk.configure(mosquitto)
    page = await desk.sign_in(desk.product_path("activity"), timezone_id="Asia/Tokyo")
    at = (await desk.system.call("GET", f"{desk.system.path}/activity"))["activity"][0]["at"]
    shown = _events(page).first.get_by_role("time").first
    exact = datetime.fromisoformat(at)
    await expect(shown).to_have_attribute("title", re.compile(f"{exact:%Y-%m-%d %H:%M:%S}.* UTC"))
    await expect(shown).to_contain_text(f"{exact + timedelta(hours=9):%H:%M:%S}")
    await page.get_by_role("radiogroup", name="Range").get_by_text("Custom").click()
    form = page.get_by_role("form", name="Custom range")
    await form.get_by_label("From").fill("2026-01-02T09:00")
    await form.get_by_label("To").fill("2026-01-01T09:00")
    await form.get_by_role("button", name="Show").click()
    await expect(form.get_by_text("The end must be after the beginning.")).to_be_visible()
    await expect(form.get_by_label("To")).to_have_attribute("aria-invalid", "true")
    await look_at(page, "activity-range")
    await form.get_by_label("To").fill("2026-01-03T09:00")
    await form.get_by_role("button", name="Show").click()
    await expect(page).to_have_url(
        re.compile("from=2026-01-02T00%3A00%3A00.000Z&to=2026-01-03T00%3A00%3A00.000Z")
    )
    await expect(page.get_by_text("Nothing happened in this range")).to_be_visible()
    # Someone else opens the address, in another zone.
    other = await desk.sign_in(page.url.removeprefix(desk.url), timezone_id="UTC")
    await expect(other.get_by_label("From")).to_have_value("2026-01-02T00:00")
    await page.get_by_role("radiogroup", name="Range").get_by_text("1 h", exact=True).click()
    await expect(_events(page)).to_have_count(1)


async def test_an_empty_tab_says_what_to_do(desk: Desk, mosquitto: Broker) -> None:
    page = await desk.sign_in(desk.product_path("activity"))
    await expect(page.get_by_text("Nothing has happened yet")).to_be_visible()
    await look_at(page, "activity-empty")
    await page.get_by_role("link", name="Enter the broker").click()
    await expect(page).to_have_url(re.compile("/broker$"))
    await desk.configure(mosquitto)
    await page.get_by_role("tab", name="Activity").click()
    await expect(page.get_by_text("No subscription is on, so no message can come.")).to_be_visible()
    await _subscribe(desk, "paid")
    await expect(page.get_by_text("No instance is live.")).to_be_visible()


async def test_the_tab_works_by_keyboard(desk: Desk, mosquitto: Broker) -> None:
    await desk.configure(mosquitto)
    await desk.system.start_instance("one")
    page = await desk.sign_in(desk.product_path("broker"))
    await page.get_by_role("tab", name="Broker").focus()
    await page.keyboard.press("ArrowRight")
    await page.keyboard.press("ArrowRight")
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(re.compile("/activity"))
    await page.get_by_role("radio", name="1 h", exact=True).focus()
    await page.keyboard.press("ArrowRight")
    await expect(page).to_have_url(re.compile("range=6h"))
    summary = _card(page, "Connected instances").get_by_text("Show as a table")

    async def opened() -> bool:
        await summary.focus()
        await page.keyboard.press("Enter")
        return await _card(page, "Connected instances").get_by_role("table").is_visible()

    await eventually(opened, every=0.5)


async def test_a_viewer_with_a_wrong_clock_sees_the_range_of_the_service(
    desk: Desk, mosquitto: Broker
) -> None:
    await desk.configure(mosquitto)
    await _subscribe(desk, "paid")
    await desk.system.start_instance("one")
    page = await desk.sign_in()
    await page.context.add_init_script("const honest = Date.now; Date.now = () => honest() + 5 * 3600e3;")
    await page.goto(desk.url + desk.product_path("activity"))
    await expect(page.get_by_role("img", name=re.compile("^one: connected at the end"))).to_be_visible()
    await expect(_card(page, "Connected instances").get_by_text("Newest: 1.")).to_be_visible(timeout=30_000)
    await page.get_by_role("radiogroup", name="Range").get_by_text("6 h", exact=True).click()
    await expect(_card(page, "Connected instances").get_by_text("Newest: 1.")).to_be_visible()
    told = page.get_by_role("img", name=re.compile("^one: connected at the end; connected 0 % of the time"))
    await expect(told).to_be_visible()
