"""The dashboard with 1,000 products in Chromium: first load, time until it can be used, events, scrolling."""

from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING, Any, cast

import nats
from playwright.async_api import async_playwright

from mqtt_shared.messages import InstanceCounts, ProductStatus, StatusChanged, encode
from mqtt_shared.subjects import Subjects

from .figures import Figure, limit_figure, ratio_figure

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

    from .servers import Servers

__all__ = ["measure"]

_PRODUCTS = 1000
_ROUNDS = 5
_EVENTS = 30
_FIRST_LOAD_KIB = 300.0
_INTERACTIVE_SECONDS = 1.0
_PAINT_MS = 300.0

_LOADED = """() => performance.getEntriesByType("resource")
  .filter((each) => each.name.endsWith(".js"))
  .reduce((sum, each) => sum + each.encodedBodySize, 0) / 1024"""
# From the event in the browser to the frame that shows it.
_PAINTED = """() => {
  window.heard = new Map();
  window.painted = [];
  new EventSource("/api/v1/events").addEventListener("status", (event) => {
    const { status } = JSON.parse(event.data);
    window.heard.set(status.state, performance.now());
  });
  const words = { healthy: "Healthy", disconnected: "Disconnected" };
  new MutationObserver(() => {
    for (const [state, at] of window.heard) {
      if (!document.querySelector("table, [role=table]").textContent.includes(words[state])) continue;
      window.heard.delete(state);
      requestAnimationFrame(() => window.painted.push(performance.now() - at));
    }
  }).observe(document.body, { subtree: true, childList: true, characterData: true });
}"""
_SCROLL = """async () => {
  window.scrollTo(0, 0);
  const next = () => new Promise(requestAnimationFrame);
  const begun = await next();
  let frames = 0, now = begun;
  while (now - begun < 2000) {
    window.scrollBy(0, 40);
    now = await next();
    frames += 1;
  }
  return frames * 1000 / (now - begun);
}"""
_PLAIN = "() => { document.body.innerHTML = '<p>row</p>'.repeat(1000); }"


async def measure(servers: Servers) -> list[Figure]:
    """Each figure beside its limit, scrolling beside a page of plain text; nothing without Chromium."""
    program = shutil.which("chromium")
    if not program:
        return []
    ids = [await _product(servers, number) for number in range(_PRODUCTS)]
    await servers.call("PUT", f"/products/{ids[0]}/mqtt-config", {"broker": {"host": "broker.example.com"}})
    async with async_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-dev-shm-usage"]
        browser = await playwright.chromium.launch(executable_path=program, args=arguments)
        page = await _signed_in(browser, servers)
        figures = [*await _loads(page, browser, servers), await _events(page, servers, ids[0])]
        figures.append(await _scrolling(page, servers))
        await browser.close()
        return figures


async def _product(servers: Servers, number: int) -> int:
    return int((await servers.call("POST", "/products", {"name": f"dashboard {number:04}"}))["id"])


async def _signed_in(browser: Browser, servers: Servers) -> Page:
    page = await (await browser.new_context(viewport={"width": 1280, "height": 900})).new_page()
    await page.goto(_fleet(servers))
    await page.get_by_label("Token", exact=True).fill(servers.token)
    await page.get_by_role("button", name="Sign in").click()
    await _shown(page)
    return page


def _fleet(servers: Servers) -> str:
    return f"http://127.0.0.1:{servers.api_port}/?q=dashboard&sort=name"


async def _shown(page: Page) -> None:
    await page.get_by_role("link", name="dashboard 0000").wait_for()


async def _loads(page: Page, browser: Browser, servers: Servers) -> list[Figure]:
    """With an empty cache each time."""
    state = await page.context.storage_state()
    sizes: list[float] = []
    seconds: list[float] = []
    for _ in range(_ROUNDS):
        fresh = await (await browser.new_context(storage_state=state)).new_page()
        await fresh.goto(_fleet(servers))
        await _shown(fresh)
        seconds.append(await fresh.evaluate("() => performance.now() / 1000"))
        sizes.append(await fresh.evaluate(_LOADED))
        await fresh.context.close()
    return [
        limit_figure("Dashboard: script of the first load", sizes, _FIRST_LOAD_KIB, "KiB"),
        limit_figure("Dashboard: 1,000 products shown after", seconds, _INTERACTIVE_SECONDS, "s"),
    ]


async def _events(page: Page, servers: Servers, product_id: int) -> Figure:
    client: Any = await cast("Any", nats).connect(servers.nats_url)
    await page.evaluate(_PAINTED)
    await asyncio.sleep(1)
    for number in range(_EVENTS):
        state = "healthy" if number % 2 else "disconnected"
        counts = InstanceCounts(live=1, connected=number % 2, applied=1)
        status = ProductStatus(product_id=product_id, state=state, instances=counts)
        await client.publish(
            Subjects("mqtt").status(product_id), encode(StatusChanged(product_id=product_id, status=status))
        )
        await page.wait_for_function(f"() => window.painted.length > {number}")
    await client.close()
    return limit_figure(
        "Dashboard: event to paint", await page.evaluate("() => window.painted"), _PAINT_MS, "ms"
    )


async def _scrolling(page: Page, servers: Servers) -> Figure:
    plain = await page.context.new_page()
    await plain.goto(f"http://127.0.0.1:{servers.api_port}/docs")
    await plain.evaluate(_PLAIN)
    ours: list[float] = []
    floor: list[float] = []
    for _ in range(_ROUNDS):
        for shown, rates in ((page, ours), (plain, floor)):
            await shown.bring_to_front()
            rates.append(await shown.evaluate(_SCROLL))
    return ratio_figure("Dashboard: scrolling 1,000 rows", ours, floor, unit="frames/s", at_least=0.95)
