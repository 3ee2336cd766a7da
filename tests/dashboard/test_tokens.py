"""Bearer tokens: made for a person or program, shown once, used, revoked, expired."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from .conftest import Desk, look_at

if TYPE_CHECKING:
    from playwright.async_api import Page

    from .conftest import Role

_HOSTILE = "<img src=x onerror=alert(1)>"


async def test_a_token_is_shown_once_used_and_revoked(desk: Desk) -> None:
    await desk.system.call("POST", "/products", {"name": _HOSTILE})
    page = await desk.sign_in()
    await page.get_by_role("link", name="Tokens").click()
    await expect(page).to_have_title("Tokens · MQTT control plane")
    await expect(page.get_by_role("heading", name="No token yet")).to_be_visible()
    await look_at(page, "no-tokens")
    await page.get_by_role("button", name="New token…").click()
    dialog = page.get_by_role("dialog", name="New token")
    await expect(dialog.get_by_label("Name")).to_be_focused()
    await dialog.get_by_role("button", name="Create").click()
    await expect(dialog.get_by_text("Give it a name: whose it is, or what for")).to_be_visible()
    await expect(dialog.get_by_text("Choose at least one")).to_be_visible()
    await look_at(page, "token-faults")
    await dialog.get_by_label("Name").fill(_HOSTILE)
    await dialog.get_by_label("Operator: changes configurations too").check()
    await dialog.get_by_role("combobox", name="Products").fill("img")
    await page.get_by_role("option", name=_HOSTILE).click()
    await page.keyboard.press("Tab")
    await dialog.get_by_role("combobox", name="Ends").click()
    await page.get_by_role("option", name="at a time I choose").click()
    await dialog.get_by_label("At", exact=True).fill("2020-01-01T10:00")
    await dialog.get_by_role("button", name="Create").click()
    await expect(dialog.get_by_text("Choose a time that is still to come")).to_be_visible()
    await dialog.get_by_label("At", exact=True).fill("2099-01-01T10:00")
    await dialog.get_by_role("button", name="Create").click()

    shown = page.get_by_role("dialog", name=f"The token {_HOSTILE}")
    token = await shown.get_by_label("Secret").inner_text()
    assert re.fullmatch(r"mqtt_[A-Za-z0-9_-]{43}", token)
    await look_at(page, "token")
    # Nothing but the button closes it.
    await page.keyboard.press("Escape")
    await shown.get_by_role("button", name="I have it").click()
    row = page.get_by_role("table", name="Tokens").get_by_role("row").nth(1)
    await expect(row).to_contain_text(f"{_HOSTILE}made by administrator")
    await expect(row).to_contain_text(f"operator{_HOSTILE}1 Jan 2099, 10:00:00never")
    assert token not in await page.content()
    await look_at(page, "tokens")

    # It opens its product, and nothing else.
    other = await desk.open()
    await _sign_in(other, token)
    await expect(other.get_by_role("link", name=_HOSTILE)).to_be_visible()
    await expect(other.get_by_role("link", name="shop")).to_have_count(0)
    await expect(other.get_by_role("link", name="Tokens")).to_have_count(0)
    await page.reload()
    await expect(row).to_contain_text(re.compile("ago|just now"))
    # Whoever has it is signed out, without touching the page.
    await page.get_by_role("button", name=f"Revoke {_HOSTILE}…").click()
    dialog = page.get_by_role("dialog", name=f"Revoke {_HOSTILE}?")
    await look_at(page, "token-revoke")
    await dialog.get_by_role("button", name="Revoke").click()
    await expect(page.get_by_role("heading", name="No token yet")).to_be_visible()
    await expect(other.get_by_role("button", name="Sign in")).to_be_visible()
    await _sign_in(other, token, signed_in=False)


async def test_a_token_ends_when_it_says(desk: Desk) -> None:
    ends = datetime.now(UTC) + timedelta(seconds=4)
    body = {"name": "visitor", "role": "viewer", "expires_at": ends.isoformat()}
    token = (await desk.system.call("POST", "/tokens", body))["token"]
    other = await desk.open()
    await _sign_in(other, token)
    page = await desk.sign_in("/tokens")
    row = page.get_by_role("table", name="Tokens").get_by_role("row").nth(1)
    await expect(row).to_contain_text("expired")
    await look_at(page, "token-expired")
    await other.reload()
    await _sign_in(other, token, signed_in=False)


@pytest.mark.parametrize("role", ["viewer", "operator"])
async def test_tokens_are_for_administrators(desk: Desk, role: Role) -> None:
    page = await desk.sign_in("/tokens", role=role)
    await expect(page.get_by_role("heading", name="Not for your role")).to_be_visible()
    await expect(page.get_by_role("link", name="Tokens")).to_have_count(0)
    await expect(page.get_by_role("main").get_by_role("button")).to_have_count(0)


async def test_tokens_are_not_for_administrators_of_some_products(desk: Desk) -> None:
    body = {"name": "anna", "role": "administrator", "product_ids": [desk.system.product["id"]]}
    page = await desk.open("/tokens")
    await _sign_in(page, (await desk.system.call("POST", "/tokens", body))["token"])
    await expect(page.get_by_role("heading", name="Not for your role")).to_be_visible()
    await expect(page.get_by_role("link", name="Tokens")).to_have_count(0)


async def test_who_revokes_their_own_token_is_warned(desk: Desk) -> None:
    body = {"name": "anna", "role": "administrator"}
    page = await desk.open("/tokens")
    await _sign_in(page, (await desk.system.call("POST", "/tokens", body))["token"])
    await page.get_by_role("button", name="Revoke anna…").click()
    await expect(page.get_by_role("alert")).to_contain_text("you are signed out")
    await page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    await expect(page.get_by_role("button", name="Sign in")).to_be_visible()


async def _sign_in(page: Page, token: str, *, signed_in: bool = True) -> None:
    await page.get_by_label("Token", exact=True).fill(token)
    await page.get_by_role("button", name="Sign in").click()
    if signed_in:
        await expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    else:
        await expect(page.get_by_text("This token is unknown or has expired.")).to_be_visible()
