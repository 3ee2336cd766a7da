"""PostgreSQL away and back; every query that the code names is there."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from msgspec import structs

import config_service
from config_service.backend import open_backend
from config_service.core.errors import UnavailableError
from config_service.core.inputs import BrokerInput, ConfigInput, ProductInput
from config_service.core.model import Write
from config_service.store import queries
from tests.support.proxy import TcpProxy
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from config_service.backend import BackendSettings
    from deploy.local.postgres import Postgres

WRITE = Write(actor="ann")
CONFIG = ConfigInput(broker=BrokerInput(host="mqtt.example.com"))


async def test_postgresql_away_and_back(
    backend_settings: BackendSettings, own_postgres: Postgres, own_database_url: str
) -> None:
    """Away while running: 503. Everything resumes by itself."""
    settings = structs.replace(backend_settings, database_url=own_database_url)
    async with open_backend(settings) as backend:
        product, _ = await backend.usecases.create_product(ProductInput(name="one"), WRITE)
        await asyncio.to_thread(own_postgres.kill)
        with pytest.raises(UnavailableError) as refused:
            await backend.usecases.put_config(product.id, CONFIG, WRITE)
        assert refused.value.retry_after_seconds > 0
        assert "postgresql" in await backend.readiness.down()
        await asyncio.to_thread(own_postgres.start)

        async def ready() -> bool:
            return await backend.readiness.down() == {}

        await eventually(ready)
        assert (await backend.usecases.put_config(product.id, CONFIG, WRITE)).revision == 1
        assert not backend.died.done()


async def test_postgresql_frozen(backend_settings: BackendSettings) -> None:
    """Connections stay open and nothing answers: readiness tells within 2 s, again and again."""
    url = backend_settings.database_url
    async with TcpProxy.before(url) as proxy:
        settings = structs.replace(backend_settings, database_url=proxy.through(url))
        async with open_backend(settings) as backend:
            assert "postgresql" not in await backend.readiness.down()
            proxy.stall()
            for _ in range(2):
                async with asyncio.timeout(3):
                    assert "postgresql" in await backend.readiness.down()
            proxy.resume()

            async def ready() -> bool:
                return "postgresql" not in await backend.readiness.down()

            await eventually(ready)


async def test_postgresql_away_at_start(
    backend_settings: BackendSettings, own_postgres: Postgres, own_database_url: str
) -> None:
    settings = structs.replace(backend_settings, database_url=own_database_url)
    await asyncio.to_thread(own_postgres.kill)

    async def opened() -> bool:
        async with open_backend(settings) as backend:
            return bool(await backend.usecases.create_product(ProductInput(name="one"), WRITE))

    opening = asyncio.create_task(opened())
    _, waiting = await asyncio.wait([opening], timeout=0.5)
    assert waiting
    await asyncio.to_thread(own_postgres.start)
    async with asyncio.timeout(15):
        assert await opening


def test_every_query_is_described_and_used() -> None:
    package = Path(config_service.__file__).parent
    code = "".join(path.read_text() for path in package.rglob("*.py"))
    named = set(re.findall(r'"(\w+)"', code))
    assert set(queries()) <= named
    for path in (package / "sql").glob("*.sql"):
        names = re.findall(r"^-- (\w+) --$", path.read_text(), re.MULTILINE)
        assert len(names) == len(set(names))
