"""`/docs` in a browser: its policy forbids nothing that it needs, and it asks nobody else for anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playwright.async_api import expect

if TYPE_CHECKING:
    from playwright.async_api import Request

    from .conftest import Desk


async def test_the_api_can_be_browsed_and_tried(desk: Desk) -> None:
    page = await desk.open("/healthz")
    asked: list[str] = []

    def note(request: Request) -> None:
        asked.append(request.url)

    page.on("request", note)
    await page.goto(f"{desk.url}/docs")
    operation = page.locator("#operations-Products-list_products")
    await operation.locator(".opblock-summary-control").click()
    await operation.get_by_role("button", name="Try it out").click()
    await operation.get_by_role("button", name="Execute").click()
    await expect(operation.locator(".live-responses-table")).to_contain_text("urn:problem-type:unauthorized")

    await page.locator("button.authorize").first.click()
    dialog = page.locator(".modal-ux")
    await dialog.locator("input").first.fill(desk.system.token)
    await dialog.locator("button.authorize").first.click()
    await dialog.locator("button.btn-done").first.click()
    await operation.get_by_role("button", name="Execute").click()
    answer = operation.locator(".live-responses-table")
    await expect(answer).to_contain_text(desk.system.product["name"])
    assert asked
    assert [url for url in asked if not url.startswith((desk.url, "data:"))] == []
