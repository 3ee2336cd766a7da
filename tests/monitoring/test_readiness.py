"""`/readyz` and `/metrics` of both services while a server is down, frozen, and back."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from deploy.local import kept
from mqtt_shared.readiness import Probe
from tests.support.processes import http_status, read, request
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from deploy.local.nats import Nats
    from deploy.local.postgres import Postgres
    from tests.support.processes import Processes

_QUICK_SECONDS = 4


async def readiness(port: int) -> tuple[int, dict[str, Any]]:
    """Status and what is down; fails when the answer takes long."""
    async with asyncio.timeout(_QUICK_SECONDS):
        status, body = await asyncio.to_thread(request, port, "GET", "/readyz")
    assert body["status"] == ("ready" if status == 200 else "not ready")
    return status, body["down"]


async def is_ready(port: int) -> bool:
    return await readiness(port) == (200, {})


async def metrics(port: int) -> str:
    return await asyncio.to_thread(read, port, "/metrics", 2 * _QUICK_SECONDS)


@pytest.mark.parametrize("how", ["kill", "freeze"])
@pytest.mark.parametrize("name", ["postgresql", "nats"])
async def test_it_tells_what_is_down_since_when_and_what_to_do(
    service: str,
    name: str,
    how: str,
    own_environment: dict[str, str],
    own_postgres: Postgres,
    own_nats: Nats,
    processes: Processes,
) -> None:
    server = own_postgres if name == "postgresql" else own_nats
    _, port = await processes.serve(service, environment=own_environment)
    assert await is_ready(port)
    before = datetime.now(UTC)
    await asyncio.to_thread(server.kill if how == "kill" else server.freeze)

    async def is_noticed() -> bool:
        return name in (await readiness(port))[1]

    await eventually(is_noticed, every=0.1)
    status, down = await readiness(port)
    assert (status, list(down)) == (503, [name])
    since = datetime.fromisoformat(down[name]["since"])
    assert before <= since <= datetime.now(UTC)
    assert down[name]["reason"]
    assert {"postgresql": "DATABASE_URL", "nats": "NATS_URL"}[name] in down[name]["remedy"]
    assert await asyncio.to_thread(http_status, port, "/healthz") == 200
    assert f'{service}_dependency_up{{dependency="{name}"}} 0.0' in await metrics(port)
    assert (await readiness(port))[1][name]["since"] == down[name]["since"]
    await asyncio.to_thread(server.start if how == "kill" else server.thaw)
    await eventually(lambda: is_ready(port), 40, 0.1)
    assert f'{service}_dependency_up{{dependency="{name}"}} 1.0' in await metrics(port)


async def test_it_tells_so_when_postgresql_is_frozen_at_the_start(
    service: str, own_environment: dict[str, str], own_postgres: Postgres, processes: Processes
) -> None:
    await asyncio.to_thread(own_postgres.freeze)
    port = kept.free_port()
    processes.spawn(service, environment={**own_environment, "HTTP_PORT": str(port)})

    async def is_told() -> bool:
        with_nats = await readiness(port)
        return list(with_nats[1]) == ["postgresql"]

    async def answers() -> bool:
        return await asyncio.to_thread(http_status, port, "/healthz") == 200

    await eventually(answers, every=0.1)
    await eventually(is_told, every=0.1)
    assert "dependency_up" in await metrics(port)
    await asyncio.to_thread(own_postgres.thaw)
    await eventually(lambda: is_ready(port), 40, 0.1)


@pytest.mark.parametrize("service", ["config_service"])
async def test_figures_of_a_fleet_are_not_told_while_they_cannot_be_read(
    own_environment: dict[str, str], service: str, own_postgres: Postgres, processes: Processes
) -> None:
    _, port = await processes.serve(service, environment=own_environment)
    assert 'config_service_products{state="healthy"} 0.0' in await metrics(port)
    await asyncio.to_thread(own_postgres.freeze)
    text = await metrics(port)
    assert "config_service_products{" not in text
    assert "config_service_publisher_configs_behind NaN" in text


async def test_a_probe_waits_once_for_a_question_that_nobody_answers() -> None:
    answered = asyncio.Event()
    asked = 0

    async def ask() -> int:
        nonlocal asked
        asked += 1
        await answered.wait()
        return asked

    probe = Probe(ask, seconds=0.05)
    for _ in range(3):
        assert await probe.fault() == "no answer for 0.05 s"
    assert asked == 1
    answered.set()
    await asyncio.sleep(0)
    assert await eventually(probe.answer) == 2
    await probe.close()
