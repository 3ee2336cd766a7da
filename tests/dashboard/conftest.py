"""The dashboard in a real Chromium, on real services, instances and brokers."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

from tests.e2e.conftest import System, system
from tests.support.servers import miss

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.servers import Broker

__all__ = ["Desk", "look_at", "system"]

_ROOT = Path(__file__).parents[2]
_AXE = _ROOT / "dashboard/node_modules/axe-core/axe.min.js"
_SCREENSHOTS = _ROOT / "build/screenshots"
_IMAGES = _ROOT / "docs/images"
# Each rule of WCAG 2.2 A and AA that a machine can check, and good practice.
_AXE_RUN = """async () => {
  const { violations } = await axe.run(document, {
    runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
  });
  const told = (rule) => rule.nodes.map((node) => `${rule.id}: ${node.html} ${node.failureSummary}`);
  return violations.flatMap(told);
}"""
_TWO_FRAMES = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
Role = Literal["viewer", "operator", "administrator"]

expect.set_options(timeout=15_000)


def _missing() -> str | None:
    if not shutil.which("chromium"):
        return "chromium is not installed"
    if not (_ROOT / "config_service/static/index.html").exists() or not _AXE.exists():
        return "the dashboard is not built: run make dashboard"
    return None


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    """This worker's Chromium."""
    if missing := _missing():
        miss(missing)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield browser
        await browser.close()


class Desk:
    """Someone at the dashboard of a system."""

    def __init__(self, system: System, browser: Browser) -> None:
        self.system = system
        self.browser = browser
        self.url = f"http://127.0.0.1:{system.port}"
        self.pages: list[Page] = []
        self.complaints: list[str] = []

    async def open(self, path: str = "/", **context: Any) -> Page:
        """A page in a browser context of its own, nobody signed in."""
        settings: dict[str, Any] = {"viewport": {"width": 1280, "height": 900}, "locale": "en-GB"}
        page = await (await self.browser.new_context(**settings | context)).new_page()
        page.on("console", lambda message: self._hear(message.type, message.text))
        page.on("pageerror", lambda error: self._hear("error", str(error)))
        self.pages.append(page)
        await page.goto(self.url + path)
        return page

    async def sign_in(self, path: str = "/", role: Role = "administrator", **context: Any) -> Page:
        """A page of someone with this role, at `path`."""
        token = self.system.token
        if role != "administrator":
            body = {"name": f"{role}-{len(self.pages)}", "role": role}
            token = (await self.system.call("POST", "/tokens", body))["token"]
        page = await self.open(path, **context)
        await page.get_by_label("Token", exact=True).fill(token)
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_role("button", name="Sign out")).to_be_visible()
        return page

    async def configure(self, server: Broker, /, **settings: Any) -> None:
        """Point the product of the system at a broker."""
        body = {"broker": {"host": "127.0.0.1", "port": server.port}, "topics": {"prefix": "/v3/shop"}}
        await self.system.call("PUT", self.system.path, body | settings)

    def product_path(self, tab: str) -> str:
        """The address of a tab of the system's product."""
        return f"/products/{self.system.product['id']}/{tab}"

    def _hear(self, kind: str, text: str) -> None:
        # The browser tells of each answer that is an error; the page shows those itself.
        if kind == "error" and "Failed to load resource" not in text:
            self.complaints.append(text)

    async def close(self) -> None:
        """Close every page."""
        for page in self.pages:
            await page.context.close()


@pytest.fixture
async def desk(system: System, browser: Browser) -> AsyncIterator[Desk]:
    """A system, and Chromium to see its dashboard; fails when a page broke the policy or a script failed."""
    desk = Desk(system, browser)
    yield desk
    await desk.close()
    assert desk.complaints == []


async def look_at(page: Page, name: str, *, image: bool = False) -> None:
    """Check what is shown in both themes, wide and narrow: nothing sticks out, axe finds nothing.

    Axe looks at each theme and each width once: colours are those of the theme, layout is that of the width.

    Keeps screenshots in build/screenshots; with `image` and WRITE=1 one for the documentation as well.
    """
    _SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    found: list[str] = []
    for theme in ("light", "dark"):
        await page.emulate_media(color_scheme=theme, reduced_motion="reduce")
        for width in (360, 1280):
            await page.set_viewport_size({"width": width, "height": 900})
            await page.evaluate("() => window.scrollTo(0, 0)")
            # The second frame shows what the first has measured.
            await page.evaluate(_TWO_FRAMES)
            await page.screenshot(path=_SCREENSHOTS / f"{name}-{theme}-{width}.png", full_page=True)
            extra = await page.evaluate("() => document.documentElement.scrollWidth - window.innerWidth")
            found += [f"{theme} {width}: {extra} px stick out"] if extra > 0 else []
            if (theme, width) in (("light", 1280), ("dark", 360)):
                await page.evaluate(_AXE.read_text())
                found += [f"{theme} {width}: {each}" for each in await page.evaluate(_AXE_RUN)]
        if image and theme == "light" and "WRITE" in os.environ:
            _IMAGES.mkdir(exist_ok=True)
            await page.screenshot(path=_IMAGES / f"{name}.png")
    assert not found, "\n".join(found)
