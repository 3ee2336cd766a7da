"""The real application over real servers, spoken to over HTTP."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from aiohttp.test_utils import TestClient, TestServer

from config_service.app import create_app
from config_service.settings import ServeSettings
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from aiohttp import ClientResponse

__all__ = ["ADMIN_TOKEN", "CONFIG", "KEY", "Api", "serving", "settings"]

ADMIN_TOKEN = "made-up-admin-token-0123"
KEY = "bWFkZS11cC1rZXktMDEyMzQ1Njc4OTAxMjM0NTY3ODk="
CONFIG: dict[str, Any] = {"broker": {"host": "broker.example.com"}}


def settings(database_url: str, nats_url: str, nats_root: str, **more: Any) -> ServeSettings:
    return ServeSettings(
        database_url=database_url,
        nats_url=nats_url,
        nats_root=nats_root,
        mqtt_password_encryption_key=KEY,  # pyright: ignore[reportArgumentType] - pydantic makes the secret
        admin_token=ADMIN_TOKEN,  # pyright: ignore[reportArgumentType] - pydantic makes the secret
        **more,
    )


class Api:
    """A client with a token; paths are below `/api/v1` unless they begin with `//`."""

    def __init__(self, client: TestClient[Any, Any], token: str | None = ADMIN_TOKEN) -> None:
        self.client = client
        self.token = token

    def with_token(self, token: str | None) -> Api:
        return Api(self.client, token)

    async def call(self, method: str, path: str, body: Any = None, **more: Any) -> ClientResponse:
        headers = dict(more.pop("headers", {}))
        if self.token is not None:
            headers.setdefault("Authorization", f"Bearer {self.token}")
        if body is not None:
            more["json"] = body
        url = path[1:] if path.startswith("//") else f"/api/v1{path}"
        response: ClientResponse = await self.client.request(
            method, url, headers=headers, allow_redirects=False, **more
        )
        await response.read()
        return response

    async def json(self, method: str, path: str, body: Any = None, status: int = 200, **more: Any) -> Any:
        response = await self.call(method, path, body, **more)
        assert response.status == status, await response.text()
        return await response.json(content_type=None) if status != 204 else None

    async def faults(self, method: str, path: str, body: Any = None, **more: Any) -> dict[str, str]:
        """The faults of a 422: place to type."""
        problem = await self.json(method, path, body, 422, **more)
        return {".".join(map(str, fault["loc"])): fault["type"] for fault in problem["errors"]}

    async def product(self, name: str = "shop", **more: Any) -> int:
        return (await self.json("POST", "/products", {"name": name, **more}, 201))["id"]

    async def configured(self, name: str = "shop", **more: Any) -> int:
        product_id = await self.product(name, **more)
        await self.json("PUT", f"/products/{product_id}/mqtt-config", CONFIG)
        return product_id

    async def token_for(self, role: str, product_ids: list[int] | None = None) -> Api:
        body = {"name": f"{role} {product_ids}", "role": role, "product_ids": product_ids}
        return self.with_token((await self.json("POST", "/tokens", body, 201))["token"])


@asynccontextmanager
async def serving(chosen: ServeSettings, *, ready: bool = True) -> AsyncGenerator[Api]:
    async with TestClient(TestServer(create_app(chosen)), auto_decompress=True) as client:
        api = Api(client)

        async def is_ready() -> bool:
            return (await api.call("GET", "//readyz")).status == 200

        if ready:
            await eventually(is_ready)
        yield api
