"""The table of docs/reference/brokers.md is what the brokers do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from click.testing import CliRunner
from msgspec import structs

from .__main__ import main
from .brokers import mosquitto, nats
from .checks import CHECKS, run
from .table import PAGE, stored

if TYPE_CHECKING:
    from pathlib import Path

    from deploy.local.nats import Nats
    from deploy.local.process import Guard
    from tests.support.certificates import Certificates
    from tests.support.servers import Servers


async def test_mosquitto(own_servers: Servers, nats_server: Nats, tls: Certificates, tmp_path: Path) -> None:
    from tests.support.servers import require_mosquitto

    require_mosquitto()
    server = mosquitto(own_servers, tls)
    assert server
    found = await run(structs.replace(server, nats_url=nats_server.url, folder=tmp_path))
    assert _comparable(found) == _comparable(stored(PAGE.read_text())["Mosquitto"])
    assert set(found) == set(CHECKS)


async def test_nats(guard: Guard, nats_server: Nats, tls: Certificates, tmp_path: Path) -> None:
    with nats(tmp_path, guard, tls) as server:
        found = await run(structs.replace(server, nats_url=nats_server.url, folder=tmp_path))
    assert _comparable(found) == _comparable(stored(PAGE.read_text())["NATS"])


def _comparable(found: dict[str, str]) -> dict[str, str]:
    """Without the numbers that are another in each run."""
    return {title: result.partition(", ")[0] for title, result in found.items()}


def test_a_broker_of_ones_own_needs_a_host_and_a_port() -> None:
    result = CliRunner().invoke(main, ["--broker", "broker.example.com"])
    assert result.exit_code == 2
    assert "HOST:PORT" in result.output
