"""Who may do what: every route with every role, with a token of another product, and without one."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from config_service.routes import ROUTES

from .http import CONFIG, Api, serving, settings

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from config_service.routing import Route
    from deploy.local.nats import Nats

ROLES = ("viewer", "operator", "administrator")


@pytest.fixture
async def api(database_url: str, nats_server: Nats, nats_root: str) -> AsyncGenerator[Api]:
    async with serving(settings(database_url, nats_server.url, nats_root)) as api:
        yield api


async def ask(api: Api, route: Route) -> int:
    """The status for a product that is not there, so that nothing is changed or removed on the way."""
    path = re.sub(r"{\w+}", "77", route.path)
    # A stream of all products would not end.
    queries = {"diff_revisions": {"against": "1"}, "stream_events": {"product_id": "77"}}
    query = queries.get(route.name, {})
    body: Any = None if route.body is None else {}
    return (await api.call(route.method, f"/{path}", body, params=query)).status


async def test_every_route_with_every_role(api: Api) -> None:
    callers = {role: await api.token_for(role) for role in ROLES}
    for route in ROUTES:
        if route.role is None:
            # Signing in wants a body with a token.
            most = 422 if route.name == "create_session" else 204
            assert await ask(api.with_token(None), route) <= most, route.name
            continue
        assert await ask(api.with_token(None), route) == 401, route.name
        assert await ask(api.with_token("unknown-token"), route) == 401, route.name
        for rank, role in enumerate(ROLES):
            status = await ask(callers[role], route)
            if rank < ROLES.index(route.role):
                assert status == 403, (route.name, role)
            else:
                assert status in {200, 202, 404, 409, 422}, (route.name, role)


@pytest.mark.parametrize("role", ROLES)
async def test_a_token_of_another_product(api: Api, role: str) -> None:
    own = await api.product("own")
    limited = await api.token_for(role, [own])
    for route in ROUTES:
        if route.role is not None and ("{product_id}" in route.path or route.all_products):
            assert await ask(limited, route) == 403, route.name
    await api.product("other")
    listed = await limited.json("GET", "/products")
    assert [product["id"] for product in listed["products"]] == [own]
    assert (await limited.call("GET", f"/products/{own}")).status == 200


async def test_a_limited_operator_works_on_its_product(api: Api) -> None:
    own = await api.product("own")
    limited = await api.token_for("operator", [own])
    await limited.json("PUT", f"/products/{own}/mqtt-config", CONFIG)
    history = await limited.json("GET", f"/products/{own}/mqtt-config/revisions")
    assert history["revisions"][0]["changed_by"] == f"operator [{own}]"


@pytest.mark.parametrize(
    "header", ["", "Basic YTpi", "Bearer", "Bearer ", "Bearer \x80", "made-up-admin-token-0123"]
)
async def test_headers_that_hold_no_bearer_token(api: Api, header: str) -> None:
    response = await api.with_token(None).call("GET", "/products", headers={"Authorization": header})
    assert response.status == 401
    assert response.headers["WWW-Authenticate"].startswith("Bearer ")
    assert response.content_type == "application/problem+json"


async def test_a_deleted_and_an_expired_token_are_refused(api: Api) -> None:
    made = await api.json("POST", "/tokens", {"name": "short", "role": "viewer"}, 201)
    assert made["token"] not in str(await api.json("GET", "/tokens"))
    caller = api.with_token(made["token"])
    assert (await caller.call("GET", "/products")).status == 200
    assert (await api.call("DELETE", f"/tokens/{made['id']}")).status == 204
    assert (await caller.call("GET", "/products")).status == 401
    assert (await api.call("DELETE", f"/tokens/{made['id']}")).status == 404
    soon = (datetime.now(UTC) + timedelta(seconds=0.5)).isoformat()
    made = await api.json("POST", "/tokens", {"name": "old", "role": "viewer", "expires_at": soon}, 201)
    expired = api.with_token(made["token"])
    assert (await expired.call("GET", "/products")).status == 200
    await asyncio.sleep(0.6)
    assert (await expired.call("GET", "/products")).status == 401


async def test_a_token_that_could_never_be_used_is_refused(api: Api) -> None:
    body = {"name": "old", "role": "viewer", "expires_at": "2001-01-01T00:00:00Z", "product_ids": [77]}
    response = await api.call("POST", "/tokens", body)
    assert response.status == 422
    errors = (await response.json())["errors"]
    assert [error["loc"] for error in errors] == [["body", "product_ids", 0], ["body", "expires_at"]]
