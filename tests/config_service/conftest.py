"""A backend on the real servers of this worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from config_service.backend import BackendSettings, open_backend
from mqtt_shared import sealing
from mqtt_shared.subjects import Subjects

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from config_service.backend import Backend
    from deploy.local.nats import Nats

KEY = sealing.new_key()


@pytest.fixture
def backend_settings(database_url: str, nats_server: Nats, nats_root: str) -> BackendSettings:
    """For this test's database and NATS names; looks often."""
    return BackendSettings(
        database_url=database_url,
        nats_url=nats_server.url,
        keys=(KEY,),
        subjects=Subjects(nats_root),
        pool_size=4,
        reconcile_seconds=0.1,
    )


@pytest.fixture
async def backend(backend_settings: BackendSettings) -> AsyncIterator[Backend]:
    """Open, connected to NATS, with a bucket."""
    async with open_backend(backend_settings) as backend:
        yield backend
        assert not backend.died.done()
