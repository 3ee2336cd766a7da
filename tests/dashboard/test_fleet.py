"""Signing in, and all products at a glance."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

from playwright.async_api import expect

from tests.e2e.conftest import publish

from .conftest import Desk, look_at

if TYPE_CHECKING:
    from tests.support.servers import Broker

_HOSTILE = "<img src=x onerror=alert(1)>"


async def test_a_token_opens_the_page_it_was_asked_for_and_stays_nowhere(desk: Desk) -> None:
    page = await desk.open("/?state=healthy")
    await look_at(page, "sign-in")
    await page.get_by_label("Token", exact=True).fill("wrong")
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_text("This token is unknown or has expired.")).to_be_visible()
    await page.get_by_label("Token", exact=True).fill(desk.system.token)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Products")).to_be_visible()
    assert page.url.endswith("/?state=healthy")
    kept = await page.evaluate(
        "() => JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])"
    )
    assert desk.system.token not in kept
    assert "session" not in kept


async def test_signing_out_ends_the_session(desk: Desk) -> None:
    page = await desk.sign_in()
    (cookie,) = await page.context.cookies()
    assert cookie.get("httpOnly")
    assert cookie.get("sameSite") == "Strict"
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_label("Token", exact=True)).to_be_visible()
    headers = {"cookie": f"session={cookie.get('value')}"}
    assert (await page.request.get(f"{desk.url}/api/v1/session", headers=headers)).status == 401


async def test_without_products_the_page_says_what_to_do(desk: Desk) -> None:
    await desk.system.call("DELETE", f"/products/{desk.system.product['id']}")
    page = await desk.sign_in()
    await expect(page.get_by_role("heading", name="No product yet")).to_be_visible()
    await look_at(page, "fleet-empty")


async def test_an_operator_creates_a_product_and_sees_its_key_once(desk: Desk) -> None:
    page = await desk.sign_in(role="operator")
    await page.get_by_role("button", name="New product").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_role("button", name="Create").click()
    await expect(dialog.get_by_text("Give it a name")).to_be_visible()
    await dialog.get_by_label("Name").fill("shop")
    await dialog.get_by_role("button", name="Create").click()
    await expect(dialog.get_by_text("Another product has this name")).to_be_visible()
    await dialog.get_by_label("Name").fill(_HOSTILE)
    await dialog.get_by_role("button", name="Create").click()
    secret = await dialog.get_by_label("Secret").inner_text()
    products: list[dict[str, Any]] = (await desk.system.call("GET", "/products"))["products"]
    (made,) = [each for each in products if each["name"] == _HOSTILE]
    assert secret not in str(made)
    await look_at(page, "product-key")
    await dialog.get_by_role("link", name=re.compile("I have it")).click()
    await expect(page).to_have_url(re.compile(f"/products/{made['id']}/broker"))
    await expect(page.get_by_role("heading", name=_HOSTILE)).to_be_visible()


async def test_a_viewer_is_offered_nothing_that_writes(desk: Desk) -> None:
    page = await desk.sign_in(role="viewer")
    await expect(page.get_by_role("table", name="Products")).to_be_visible()
    await expect(page.get_by_role("button", name="New product")).to_have_count(0)


async def test_the_fleet_follows_what_happens(desk: Desk, mosquitto: Broker) -> None:
    page = await desk.sign_in()
    row = page.get_by_role("row").filter(has_text="shop")
    await expect(row.get_by_text("Not configured")).to_be_visible()
    await desk.configure(mosquitto)
    await desk.system.call(
        "POST", f"{desk.system.path}/subscriptions", {"name": "orders", "topic": "fleet/orders"}
    )
    await expect(row.get_by_text("No instances")).to_be_visible()
    await desk.system.start_instance("one")
    await expect(row.get_by_text("Healthy")).to_be_visible()
    await expect(row.get_by_text("1 of 1")).to_be_visible()
    await publish(mosquitto.port, "fleet/orders", range(20))
    await expect(row.get_by_text(re.compile("just now|s ago"))).to_be_visible()
    await look_at(page, "fleet", image=True)


async def test_a_view_of_the_fleet_stands_in_its_address(desk: Desk) -> None:
    for name in ("alpha", "beta", "gamma"):
        await desk.system.call("POST", "/products", {"name": name, "description": f"about {name}"})
    page = await desk.sign_in()
    names = page.get_by_role("table").get_by_role("link")
    await expect(names).to_have_text(["alpha", "beta", "gamma", "shop"])
    await page.get_by_role("button", name="Name").click()
    await page.get_by_role("button", name="Name").click()
    await expect(names).to_have_text(["shop", "gamma", "beta", "alpha"])
    await page.get_by_label("Search products").fill("about be")
    await expect(names).to_have_text(["beta"])
    await page.reload()
    await expect(page.get_by_label("Search products")).to_have_value("about be")
    await expect(names).to_have_text(["beta"])
    await page.get_by_label("Search products").fill("nothing")
    await page.get_by_role("button", name="Show all 4").click()
    await expect(names).to_have_count(4)


async def test_a_thousand_products_are_few_rows_in_the_document(desk: Desk) -> None:
    names = [f"product {number:04}" for number in range(1000)]
    for start in range(0, 1000, 20):
        some = names[start : start + 20]
        await asyncio.gather(*(desk.system.call("POST", "/products", {"name": name}) for name in some))
    page = await desk.sign_in("/?sort=name")
    table = page.get_by_role("table", name="Products")
    await expect(table).to_have_attribute("aria-rowcount", "1002")
    await expect(page.get_by_role("link", name=names[0])).to_be_visible()
    assert await table.get_by_role("row").count() < 60
    await page.keyboard.press("End")
    await expect(page.get_by_role("link", name=names[-1])).to_be_in_viewport()
    assert await table.get_by_role("row").count() < 60
    await page.get_by_label("Search products").fill("0500")
    await expect(table.get_by_role("link")).to_have_text(["product 0500"])


async def test_what_comes_from_outside_is_text(desk: Desk) -> None:
    hostile = "<img src=x onerror=alert(1)><script>alert(2)</script>"
    await desk.system.call("PATCH", f"/products/{desk.system.product['id']}", {"name": hostile[:100]})
    product = await desk.system.call(
        "POST",
        "/products",
        {"name": "\u202etxt.exe {{7*7}}", "description": f"javascript: {hostile}"},
    )
    dialogs: list[str] = []
    page = await desk.open()
    page.on("dialog", lambda dialog: dialogs.append(dialog.message))
    await page.get_by_label("Token", exact=True).fill(desk.system.token)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("link", name=hostile[:100])).to_be_visible()
    await expect(page.get_by_text(f"javascript: {hostile}")).to_be_visible()
    await page.get_by_role("link", name=hostile[:100]).click()
    await expect(page.get_by_role("heading", name=hostile[:100])).to_be_visible()
    await page.goto(f"{desk.url}/products/{product['id']}/broker")
    await expect(page.get_by_role("heading", name="{{7*7}}")).to_be_visible()
    assert await page.locator("img[src=x], script:not([src])").count() == 0
    assert dialogs == []


async def test_a_broken_stream_is_told_and_caught_up(desk: Desk) -> None:
    page = await desk.sign_in()
    await expect(page.get_by_role("link", name="shop")).to_be_visible()
    await page.context.set_offline(True)
    desk.system.config_service.kill()
    await expect(page.get_by_text("Live updates are interrupted")).to_be_visible()
    await look_at(page, "stale")
    await page.context.set_offline(False)
    await desk.system.start_config_service(HTTP_PORT=str(desk.system.port))
    await desk.system.call("POST", "/products", {"name": "later"})
    await expect(page.get_by_text("Live updates are interrupted")).to_be_hidden()
    await expect(page.get_by_role("link", name="later")).to_be_visible()


async def test_what_no_event_tells_is_read_anew_after_a_break(desk: Desk) -> None:
    product, port = f"/products/{desk.system.product['id']}", desk.system.port
    page = await desk.sign_in(f"{product}/advanced/secrets")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    await expect(page.get_by_role("heading", name="No secret yet")).to_be_visible()
    desk.system.config_service.kill()
    # Another replica writes what the page's own will never tell of.
    await desk.system.start_config_service()
    await desk.system.call("PATCH", product, {"name": "store"})
    await desk.system.call("PUT", f"{product}/secrets/orders_token", {"value": "made-up"})
    asked.clear()
    await desk.system.start_config_service(HTTP_PORT=str(port))
    await expect(page.get_by_role("heading", name="store", exact=True)).to_be_visible()
    await expect(page.get_by_role("table", name="Secrets").get_by_text("orders_token")).to_be_visible()
    paths = {url.removeprefix(desk.url) for url in asked}
    assert {f"/api/v1{product}", f"/api/v1{product}/mqtt-config/rollout"} <= paths
