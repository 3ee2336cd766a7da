"""Real servers for every test: one of each per worker, and own ones where a test breaks them."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from deploy.local.process import Guard

from .faults import table
from .support.certificates import Certificates
from .support.processes import Processes
from .support.servers import Broker, Servers, execute, outside_loop, require_mosquitto

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from deploy.local.nats import Nats
    from deploy.local.postgres import Postgres

_TEMPLATE = "template_migrated"
# How long an example takes says something about the machine, not about the code.
settings.register_profile("shared machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared machine")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that asks for Mosquitto has its marker."""
    for item in items:
        names: list[str] = getattr(item, "fixturenames", [])
        if "mosquitto" in names or "own_mosquitto" in names:
            item.add_marker(pytest.mark.mosquitto)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what became of the messages in tests/faults."""
    reports = [each for name in ("passed", "failed") for each in terminalreporter.stats.get(name, [])]
    pairs = (pair for each in reports for pair in getattr(each, "user_properties", ()))
    found = table.report(pairs, write="WRITE" in os.environ)
    if found:
        terminalreporter.write_line(found)


@pytest.fixture(autouse=True)
async def no_leaked_task() -> AsyncIterator[None]:
    """Every task that a test starts has ended when the test and its fixtures have."""
    before = asyncio.all_tasks()
    yield
    here = asyncio.current_task()
    left = asyncio.all_tasks() - before - {here}
    # A task that was cancelled or told to end needs a few turns of the loop.
    if left:
        _, left = await asyncio.wait(left, timeout=1)
    assert not left, f"tasks left behind: {sorted(map(repr, left))}"


@pytest.fixture(scope="session")
def guard() -> Iterator[Guard]:
    """Ends every server and process of this worker if the worker is killed."""
    guard = Guard()
    yield guard
    guard.close()


@pytest.fixture(scope="session")
def server_directory() -> Iterator[Path]:
    """Where servers keep their files. Not tmp_path: PostgreSQL, started by root, must be able to enter it."""
    base = Path(tempfile.mkdtemp(prefix="mqtt-tests-"))
    base.chmod(0o711)
    yield base
    shutil.rmtree(base, ignore_errors=True)


@pytest.fixture(scope="session")
def servers(server_directory: Path, guard: Guard) -> Iterator[Servers]:
    """Makes the shared servers of this worker."""
    servers = Servers(server_directory, guard)
    yield servers
    servers.close()


@pytest.fixture
def own_servers(server_directory: Path, guard: Guard) -> Iterator[Servers]:
    """Makes servers for one test, which may break them."""
    base = server_directory / secrets.token_hex(4)
    base.mkdir()
    base.chmod(0o711)
    servers = Servers(base, guard)
    yield servers
    servers.close()
    shutil.rmtree(base, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres(servers: Servers) -> Postgres:
    """This worker's PostgreSQL. Leave it running: `own_postgres` is there to be broken."""
    return servers.postgres()


@pytest.fixture(scope="session")
def migrated_template(postgres: Postgres) -> str:
    """Name of a database with every table and no row, to be cloned."""
    from config_service.migration import upgrade

    execute(postgres.url(), f"create database {_TEMPLATE}")
    outside_loop(lambda: upgrade(postgres.url(_TEMPLATE)))
    return _TEMPLATE


@pytest.fixture
def database_url(postgres: Postgres, migrated_template: str) -> Iterator[str]:
    """A database of this test's own, with every table and no row."""
    name = f"test_{secrets.token_hex(6)}"
    execute(postgres.url(), f"create database {name} template {migrated_template}")
    yield postgres.url(name)
    execute(postgres.url(), f"drop database {name} with (force)")


@pytest.fixture
def empty_database_url(postgres: Postgres) -> Iterator[str]:
    """A database of this test's own without any table."""
    name = f"test_{secrets.token_hex(6)}"
    execute(postgres.url(), f"create database {name}")
    yield postgres.url(name)
    execute(postgres.url(), f"drop database {name} with (force)")


@pytest.fixture
def own_postgres(own_servers: Servers) -> Postgres:
    """A PostgreSQL for this test alone, its database `own_postgres.url()` without any table."""
    return own_servers.postgres()


@pytest.fixture
def own_database_url(own_postgres: Postgres) -> str:
    """URL of the migrated database on `own_postgres`."""
    from config_service.migration import upgrade

    outside_loop(lambda: upgrade(own_postgres.url()))
    return own_postgres.url()


@pytest.fixture(scope="session")
def nats_server(servers: Servers) -> Nats:
    """This worker's NATS. Tests share it: each uses its own `nats_root`."""
    return servers.nats()


@pytest.fixture
def own_nats(own_servers: Servers) -> Nats:
    """A NATS server for this test alone, to be stopped, killed or frozen."""
    return own_servers.nats()


@pytest.fixture
def nats_root() -> str:
    """First token of every NATS name of this test."""
    return f"t{secrets.token_hex(4)}"


@pytest.fixture(scope="session")
def nats_mqtt(servers: Servers) -> tuple[str, int]:
    """Host and port of a NATS server's MQTT 3.1.1 listener."""
    port = servers.nats(mqtt=True).mqtt_port
    assert port
    return "127.0.0.1", port


@pytest.fixture(scope="session")
def mosquitto(servers: Servers) -> Broker:
    """This worker's Mosquitto, open to all. Use topics of your own."""
    return servers.mosquitto()


@pytest.fixture
def own_mosquitto(own_servers: Servers) -> Callable[..., Broker]:
    """Makes a Mosquitto for this test alone; arguments as for `Servers.mosquitto`."""
    require_mosquitto()
    return own_servers.mosquitto


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Certificates: good, expired, for another host, for a client."""
    return Certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def processes(tmp_path: Path, guard: Guard) -> Iterator[Processes]:
    """Starts the commands as processes, with the given environment alone."""
    processes = Processes(tmp_path, guard)
    yield processes
    processes.close()
