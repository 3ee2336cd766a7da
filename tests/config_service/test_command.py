"""The command `config-service`: what it refuses, what it prints, how it ends."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from config_service.settings import ServeSettings
from mqtt_shared.sealing import new_key
from tests.support.processes import request
from tests.support.servers import execute
from tests.support.waiting import eventually

from .http import ADMIN_TOKEN, KEY

if TYPE_CHECKING:
    from pathlib import Path

    from deploy.local.nats import Nats
    from tests.support.processes import Processes


async def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command with nothing but these settings."""
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "config_service", *arguments],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def environment(database_url: str, nats_server: Nats, nats_root: str) -> dict[str, str]:
    return {
        "DATABASE_URL": database_url,
        "NATS_URL": nats_server.url,
        "NATS_ROOT": nats_root,
        "MQTT_PASSWORD_ENCRYPTION_KEY": KEY,
        "ADMIN_TOKEN": ADMIN_TOKEN,
        "HTTP_PORT": "0",
    }


async def test_all_wrong_settings_are_told_at_once_and_none_is_shown() -> None:
    found = await run(
        "--test-denied-networks=1.2.3",
        ADMIN_TOKEN="made-up",
        MQTT_PASSWORD_ENCRYPTION_KEY=f"{KEY},made-up-key",
        HTTP_PORT="x",
        LOG_LEVEL="loud",
    )
    assert found.returncode == 2
    told = [line.split(":")[0] for line in found.stderr.splitlines()]
    assert sorted(told) == [
        "ADMIN_TOKEN",
        "DATABASE_URL",
        "HTTP_PORT",
        "LOG_LEVEL",
        "MQTT_PASSWORD_ENCRYPTION_KEY",
        "TEST_DENIED_NETWORKS",
    ]
    assert "key 2 of 2" in found.stderr
    assert "made-up" not in found.stderr


async def test_help_lists_every_setting_with_its_default_and_every_command() -> None:
    text = (await run("--help")).stdout
    words = " ".join(text.split()).replace(" ", "")
    for name, field in ServeSettings.model_fields.items():
        default = "required" if field.is_required() else f"default:{field.default}"
        assert f"[{name.upper()};{default}]".replace(" ", "") in words
    for command in ("serve", "migrate", "import", "rotate-keys", "token", "openapi"):
        assert f"\n  {command} " in text


async def test_it_serves_until_told_to_stop(environment: dict[str, str], processes: Processes) -> None:
    del environment["HTTP_PORT"]
    process, port = await processes.serve("config_service", environment=environment)
    assert (
        request(port, "GET", "/api/v1/products", headers={"Authorization": f"Bearer {ADMIN_TOKEN}"})[0] == 200
    )
    os.kill(process.pid, signal.SIGTERM)
    await eventually(lambda: not process.running)
    assert process.returncode == 0
    assert "Traceback" not in process.output()

    # The port is taken while another one holds it.
    _, port = await processes.serve("config_service", environment=environment)
    found = await run("serve", f"--http-port={port}", **environment)
    assert found.returncode == 2
    assert f"HTTP_PORT: cannot listen on 127.0.0.1:{port}" in found.stderr


async def test_it_refuses_a_newer_database_and_a_wrong_key(environment: dict[str, str]) -> None:
    await run("migrate", **environment)
    execute(
        environment["DATABASE_URL"],
        "insert into products (name, product_key, product_key_id) values ('shop', 'sealed', 'x')",
    )
    found = await run(**environment)
    assert found.returncode == 2
    assert "MQTT_PASSWORD_ENCRYPTION_KEY" in found.stderr
    assert "opens the product key of product 1" in found.stderr
    execute(environment["DATABASE_URL"], "update alembic_version set version_num = '9999'")
    for command in ("serve", "migrate"):
        found = await run(command, **environment)
        assert found.returncode == 2
        assert "schema version 9999" in found.stderr


async def test_tokens(environment: dict[str, str]) -> None:
    refused = await run("token", "create", "deployment", "--role=operator", "--product=7", **environment)
    assert (refused.returncode, "there is no product 7" in refused.stderr) == (2, True)
    made = await run("token", "create", "deployment", "--role=operator", "--days=1", **environment)
    assert made.returncode == 0, made.stderr
    listed = [json.loads(line) for line in (await run("token", "list", **environment)).stdout.splitlines()]
    assert [(token["name"], token["role"], token["product_ids"]) for token in listed] == [
        ("deployment", "operator", None)
    ]
    assert made.stdout.strip() not in str(listed)
    assert (await run("token", "revoke", str(listed[0]["id"]), **environment)).returncode == 0
    missing = await run("token", "revoke", str(listed[0]["id"]), **environment)
    assert (missing.returncode, "there is no token" in missing.stderr) == (2, True)


async def test_import_and_key_rotation(
    environment: dict[str, str], processes: Processes, tmp_path: Path
) -> None:
    served = {name: value for name, value in environment.items() if name != "HTTP_PORT"}
    _, port = await processes.serve("config_service", environment=served)
    authorization = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
    _, product = request(port, "POST", "/api/v1/products", {"name": "shop"}, authorization)
    path = f"/api/v1/products/{product['id']}/mqtt-config"
    broker = {"broker": {"host": "broker.example.com", "password": "made-up"}}
    assert request(port, "PUT", path, broker, authorization)[0] == 200
    file = tmp_path / "mqtt_events.json"
    file.write_text('{"configuration": {"qos": 3}, "events": [{"name": "A"}, {"naem": "b"}]}')
    bad = await run("import", str(file), f"--product={product['id']}", **environment)
    assert bad.returncode == 2
    assert len(bad.stderr.splitlines()) >= 3
    file.write_text(
        '{"configuration": {"qos": 2}, "events": [{"name": "paid", "topic": "a/b", "actions": []}]}'
    )
    for options, told in ((["--dry-run"], "would have"), ([], "is at revision 2 now and has")):
        found = await run("import", str(file), f"--product={product['id']}", *options, **environment)
        assert found.returncode == 0, found.stderr
        assert f"{told} 1 subscription" in found.stdout
    assert request(port, "GET", path, None, authorization)[1]["mqtt_config"]["topics"]["qos"] == 2

    both = {**environment, "MQTT_PASSWORD_ENCRYPTION_KEY": f"{new_key()},{KEY}"}
    rotated = await run("rotate-keys", **both)
    assert rotated.returncode == 0, rotated.stderr
    assert int(rotated.stdout.split()[0]) >= 2
    assert (await run("rotate-keys", **both)).stdout.startswith("0 ")
