"""A login as a deployment makes it, and collectors."""

from __future__ import annotations

import secrets
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

import asyncpg
import nats
import pytest

from mqtt_shared.settings import load
from status_collector.app import Collector, collector
from status_collector.settings import CollectorSettings
from tests.support.servers import execute

from .support import Database

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from nats.aio.client import Client

    from deploy.local.nats import Nats

    Collectors = Callable[..., AbstractAsyncContextManager[Collector]]


def login_of(database_url: str) -> str:
    """The URL of a new login that is a member of mqtt_status_collector and nothing else."""
    name = f"collector_{secrets.token_hex(6)}"
    execute(database_url, f"create role {name} login password 'made-up' in role mqtt_status_collector")
    parts = urlsplit(database_url)
    place = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{name}:made-up@{place}").geturl()


@pytest.fixture
def collector_url(database_url: str) -> str:
    """The test's database for a login that is only a member of mqtt_status_collector."""
    return login_of(database_url)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """The test's database for its owner."""
    connection = await cast("Any", asyncpg).connect(database_url)
    yield Database(connection)
    await connection.close()


@pytest.fixture
async def client(nats_server: Nats) -> AsyncIterator[Client]:
    """A plain NATS client."""
    client = await cast("Any", nats).connect(nats_server.url)
    yield client
    await client.close()


@pytest.fixture
def environment(collector_url: str, nats_server: Nats, nats_root: str) -> dict[str, str]:
    """The settings of a quick collector, to which the stream delivers again what takes more than a second: a
    test that counts deliveries sets `redelivery_seconds=300`.
    """
    return {
        "DATABASE_URL": collector_url,
        "NATS_URL": nats_server.url,
        "NATS_ROOT": nats_root,
        "HTTP_PORT": "0",
        "FLUSH_INTERVAL_SECONDS": "0.02",
        "SWEEP_INTERVAL_SECONDS": "0.05",
        "REDELIVERY_SECONDS": "1",
        "LOG_FORMAT": "json",
    }


@pytest.fixture
def collectors(environment: dict[str, str]) -> Collectors:
    """Opens collectors in this process; arguments are further settings."""

    @asynccontextmanager
    async def opened(**changes: Any) -> AsyncGenerator[Collector]:
        given = {name.lower(): value for name, value in environment.items()} | changes
        async with collector(load(CollectorSettings, given)) as running:
            yield running

    return opened
