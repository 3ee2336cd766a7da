"""Signing in with a token: the cookie, what ends it, and pages of other sites."""

from __future__ import annotations

from http.cookies import SimpleCookie
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.servers import execute

from .http import ADMIN_TOKEN, Api, serving, settings

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from deploy.local.nats import Nats

SAME = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture
async def api(database_url: str, nats_server: Nats, nats_root: str) -> AsyncGenerator[Api]:
    async with serving(settings(database_url, nats_server.url, nats_root)) as api:
        yield api


async def sign_in(api: Api, token: str = ADMIN_TOKEN, **headers: str) -> tuple[Api, Any]:
    """A browser that has signed in, and the cookie it got."""
    browser = api.with_token(None)
    response = await browser.call("POST", "/session", {"token": token}, headers=headers)
    assert response.status == 200, await response.text()
    return browser, SimpleCookie(response.headers["Set-Cookie"])["session"]


async def test_signing_in_and_out(api: Api) -> None:
    browser, cookie = await sign_in(api)
    assert (cookie["httponly"], cookie["samesite"], cookie["path"], cookie["secure"]) == (
        True,
        "Strict",
        "/",
        "",
    )
    who = {"name": "administrator", "role": "administrator", "product_ids": None}
    assert await browser.json("GET", "/session") == who
    assert await browser.json("POST", "/products", {"name": "shop"}, 201, headers=SAME)
    assert ADMIN_TOKEN not in cookie.value
    assert (await browser.call("DELETE", "/session", headers=SAME)).status == 204
    assert (await browser.call("GET", "/session")).status == 401
    # Ended on the side of the server as well.
    kept = {"Cookie": f"session={cookie.value}"}
    assert (await browser.call("GET", "/session", headers=kept)).status == 401
    assert (await browser.call("DELETE", "/session")).status == 204


async def test_a_wrong_token_signs_nobody_in(api: Api) -> None:
    browser = api.with_token(None)
    response = await browser.call("POST", "/session", {"token": "made-up-and-wrong"})
    assert (response.status, response.headers.get("Set-Cookie")) == (401, None)
    assert (await browser.call("GET", "/session", headers={"Cookie": "session=made-up"})).status == 401


async def test_a_session_has_role_and_products_of_its_token_and_ends_with_it(api: Api) -> None:
    own = await api.product("own")
    other = await api.product("other")
    body = {"name": "dashboard", "role": "viewer", "product_ids": [own]}
    made = await api.json("POST", "/tokens", body, 201)
    browser, _ = await sign_in(api, made["token"])
    assert await browser.json("GET", "/session") == {k: body[k] for k in ("name", "role", "product_ids")}
    assert (await browser.call("GET", f"/products/{own}")).status == 200
    assert (await browser.call("GET", f"/products/{other}")).status == 403
    config = f"/products/{own}/mqtt-config"
    assert (await browser.call("POST", f"{config}/reconnect", headers=SAME)).status == 403
    assert (await api.call("DELETE", f"/tokens/{made['id']}")).status == 204
    assert (await browser.call("GET", f"/products/{own}")).status == 401


async def test_a_session_ends_in_time(api: Api, database_url: str) -> None:
    _, cookie = await sign_in(api)
    execute(database_url, "update api_sessions set expires_at = now()")
    browser = api.with_token(None)
    assert (await browser.call("GET", "/session")).status == 401
    await sign_in(api)
    # Signing in removes what is over.
    execute(database_url, "do $$ begin assert (select count(*) from api_sessions) = 1; end $$")
    assert cookie["max-age"] == "43200"


async def test_another_admin_token_ends_all_sessions(
    api: Api, database_url: str, nats_server: Nats, nats_root: str
) -> None:
    _, cookie = await sign_in(api)
    kept = {"Cookie": f"session={cookie.value}"}
    async with serving(settings(database_url, nats_server.url, nats_root)) as replica:
        assert (await replica.with_token(None).call("GET", "/session", headers=kept)).status == 200
    changed = settings(database_url, nats_server.url, nats_root, trust_forwarded_headers=True).model_copy(
        update={"admin_token": type(settings(database_url, "nats://h", "r").admin_token)("x" * 16)}
    )
    async with serving(changed) as replica:
        replica = replica.with_token(None)
        assert (await replica.call("GET", "/session", headers=kept)).status == 401


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({}, False),
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Origin": "https://elsewhere.example.com"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": "http://{host}"}, True),
        ({"Origin": "http://{host}", "Sec-Fetch-Site": "cross-site"}, False),
        ({"Origin": "http://elsewhere.example.com", "X-Forwarded-Host": "elsewhere.example.com"}, False),
    ],
)
async def test_another_site_changes_nothing(api: Api, headers: dict[str, str], *, allowed: bool) -> None:
    browser, _ = await sign_in(api)
    server: Any = api.client.server
    sent = {name: value.format(host=f"127.0.0.1:{server.port}") for name, value in headers.items()}
    response = await browser.call("POST", "/products", {"name": "shop"}, headers=sent)
    assert response.status == (201 if allowed else 403)
    assert (await browser.call("GET", "/products", headers=sent)).status == 200
    # A bearer token is nothing that another site could make a browser send.
    assert (await api.call("POST", "/products", {"name": "second"}, headers=sent)).status == 201


async def test_another_site_signs_nobody_in(api: Api) -> None:
    response = await api.with_token(None).call(
        "POST", "/session", {"token": ADMIN_TOKEN}, headers={"Sec-Fetch-Site": "cross-site"}
    )
    assert (response.status, response.headers.get("Set-Cookie")) == (403, None)


async def test_behind_a_proxy_that_speaks_https(database_url: str, nats_server: Nats, nats_root: str) -> None:
    chosen = settings(database_url, nats_server.url, nats_root)
    forwarded = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "mqtt.example.com"}
    for trusted in (True, False):
        async with serving(chosen.model_copy(update={"trust_forwarded_headers": trusted})) as api:
            _, cookie = await sign_in(api, **forwarded)
            assert bool(cookie["secure"]) is trusted
            sent = {
                **forwarded,
                "Cookie": f"session={cookie.value}",
                "Origin": "https://mqtt.example.com",
            }
            response = await api.with_token(None).call("POST", "/products", {"name": "shop"}, headers=sent)
            assert response.status == (201 if trusted else 403)
