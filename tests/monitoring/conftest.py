"""Both services as processes on servers that a test may break."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.config_service.http import ADMIN_TOKEN, KEY
from tests.status_collector.conftest import login_of

if TYPE_CHECKING:
    from deploy.local.nats import Nats


def environment_of(service: str, database_url: str, nats_url: str, nats_root: str) -> dict[str, str]:
    """The settings of a service."""
    common = {"NATS_URL": nats_url, "NATS_ROOT": nats_root}
    if service == "status_collector":
        return {**common, "DATABASE_URL": login_of(database_url)}
    secrets = {"ADMIN_TOKEN": ADMIN_TOKEN, "MQTT_PASSWORD_ENCRYPTION_KEY": KEY}
    return {**common, **secrets, "DATABASE_URL": database_url}


@pytest.fixture(params=["config_service", "status_collector"])
def service(request: pytest.FixtureRequest) -> str:
    """Each service in turn."""
    return request.param


@pytest.fixture
def own_environment(service: str, own_database_url: str, own_nats: Nats, nats_root: str) -> dict[str, str]:
    """Its settings, on servers of this test's own."""
    return environment_of(service, own_database_url, own_nats.url, nats_root)
