"""The servers and services that one run of the benchmarks uses; all of them end with it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
from msgspec import Struct

from config_service.migration import upgrade
from deploy.local.broker import Mosquitto, mosquitto_program
from deploy.local.kept import free_port
from deploy.local.nats import Nats
from deploy.local.postgres import Postgres
from deploy.local.process import Guard
from mqtt_shared.sealing import new_key

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

__all__ = ["Servers", "collector", "serve"]


class Servers(Struct, kw_only=True):
    """Where everything is."""

    directory: Path
    database_url: str
    nats_url: str
    mqtt_port: int
    api_port: int
    bare_port: int
    token: str

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """One request to the API.

        Raises:
            RuntimeError: the answer is an error; the text is the answer.
        """
        headers = {"Authorization": f"Bearer {self.token}"}
        url = f"http://127.0.0.1:{self.api_port}/api/v1{path}"
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.request(method, url, json=body) as answer,
        ):
            if answer.status >= 400:
                raise RuntimeError(f"{method} {path}: {answer.status} {await answer.text()}")
            return await answer.json()


@contextlib.asynccontextmanager
async def serve(directory: Path) -> AsyncGenerator[Servers]:
    """PostgreSQL (commits wait for the disk), NATS, MQTT broker, config-service and the bare handlers."""
    guard = Guard()
    logs = directory / "logs"
    logs.mkdir(parents=True)
    postgres = Postgres(directory / "postgres", guard, free_port(), logs / "postgres.log")
    mqtt_port = free_port()
    nats = Nats(
        directory / "nats",
        guard,
        free_port(),
        logs / "nats.log",
        mqtt_port=None if mosquitto_program() else mqtt_port,
    )
    started: list[Postgres | Nats | Mosquitto] = [postgres, nats]
    if mosquitto_program():
        started.append(Mosquitto(directory / "mosquitto", guard, mqtt_port, logs / "mosquitto.log"))
    try:
        for server in started:
            server.start()
        async with _services(directory, postgres.url(), nats.url, mqtt_port) as servers:
            yield servers
    finally:
        for server in reversed(started):
            server.stop()
        guard.close()


@contextlib.asynccontextmanager
async def _services(
    directory: Path, database_url: str, nats_url: str, mqtt_port: int
) -> AsyncGenerator[Servers]:
    await asyncio.to_thread(upgrade, database_url)
    servers = Servers(
        directory=directory,
        database_url=database_url,
        nats_url=nats_url,
        mqtt_port=mqtt_port,
        api_port=free_port(),
        bare_port=free_port(),
        token=secrets.token_urlsafe(24),
    )
    environment = {
        "DATABASE_URL": database_url,
        "NATS_URL": nats_url,
        "HTTP_PORT": str(servers.api_port),
        "ADMIN_TOKEN": servers.token,
        "MQTT_PASSWORD_ENCRYPTION_KEY": new_key(),
        "LOG_LEVEL": "warning",
    }
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(_process(directory, "config_service", environment))
        bare = ("benchmarks.bare", str(servers.bare_port), database_url, nats_url)
        await stack.enter_async_context(_process(directory, *bare))
        await _ready(servers.api_port, "/readyz")
        await _ready(servers.bare_port, "/read/1")
        yield servers


@contextlib.asynccontextmanager
async def collector(servers: Servers) -> AsyncGenerator[None]:
    """A status-collector with its usual settings."""
    port = free_port()
    environment = {
        "DATABASE_URL": servers.database_url,
        "NATS_URL": servers.nats_url,
        "HTTP_PORT": str(port),
        "LOG_LEVEL": "warning",
    }
    async with _process(servers.directory, "status_collector", environment):
        await _ready(port, "/readyz")
        yield


@contextlib.asynccontextmanager
async def _process(
    directory: Path, module: str, *arguments: str | Mapping[str, str]
) -> AsyncGenerator[asyncio.subprocess.Process]:
    environment = {
        name: value for given in arguments if not isinstance(given, str) for name, value in given.items()
    }
    words = [given for given in arguments if isinstance(given, str)]
    log = (directory / "logs" / f"{module}.log").open("wb")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, *words, env={**os.environ, **environment}, stdout=log, stderr=log
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
        log.close()


async def _ready(port: int, path: str) -> None:
    async with asyncio.timeout(30), aiohttp.ClientSession() as session:
        while True:
            with contextlib.suppress(aiohttp.ClientError):
                async with session.get(f"http://127.0.0.1:{port}{path}") as answer:
                    if answer.ok:
                        return
            await asyncio.sleep(0.05)
