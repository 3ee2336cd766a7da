"""Schemathesis against the served document of a real process: every operation, all phases, all checks."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from config_service.routes import ROUTES
from tests.support.processes import request

from .http import ADMIN_TOKEN, CONFIG, KEY

if TYPE_CHECKING:
    from deploy.local.nats import Nats
    from tests.support.processes import Processes

# The document cannot tell everything: rules between two fields, or with what is stored, answer 412 and 422.
_CHECKS = """
[checks]
positive_data_acceptance.expected-statuses = ["2xx", "304", "401", "403", "404", "409", "412", "422"]
"""


async def test_schemathesis_finds_nothing(
    database_url: str, nats_server: Nats, nats_root: str, processes: Processes, tmp_path: Path
) -> None:
    environment = {
        "DATABASE_URL": database_url,
        "NATS_URL": nats_server.url,
        "NATS_ROOT": nats_root,
        "MQTT_PASSWORD_ENCRYPTION_KEY": KEY,
        "ADMIN_TOKEN": ADMIN_TOKEN,
        "TEST_TIMEOUT_SECONDS": "0.2",
        "LOG_LEVEL": "warning",
    }
    _, port = await processes.serve("config_service", environment=environment)
    (tmp_path / "schemathesis.toml").write_text(_CHECKS)
    found = await asyncio.to_thread(_search, port, tmp_path)
    assert found.returncode == 0, found.stdout[-8000:]
    # Each operation was tried in one phase at least; nothing failed and nothing broke.
    summary = found.stdout.rsplit("Seed:", 1)[0].rstrip().splitlines()[-1]
    passed = re.search(r"(\d+) passed", summary)
    assert passed, summary
    assert int(passed[1]) >= sum(not route.hidden for route in ROUTES) - 1
    assert "failed" not in summary
    assert "errored" not in summary


def _search(port: int, directory: Path) -> subprocess.CompletedProcess[str]:
    """Give it something to find, then let it search."""
    authorization = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
    for method, path, body in (
        ("POST", "", {"name": "shop"}),
        ("PUT", "/1/mqtt-config", CONFIG),
        ("POST", "/1/mqtt-config/subscriptions", {"name": "paid"}),
    ):
        status, answer = request(port, method, f"/api/v1/products{path}", body, authorization)
        assert status < 300, answer
    program = shutil.which("schemathesis", path=str(Path(sys.executable).parent))
    assert program
    return subprocess.run(
        [
            program,
            *("--config-file", "schemathesis.toml"),
            *("run", f"http://127.0.0.1:{port}/api/openapi.json"),
            *("--header", f"Authorization: Bearer {ADMIN_TOKEN}"),
            *("--phases", "examples,coverage,fuzzing,stateful"),
            *("--max-examples", "5", "--seed", "1", "--workers", "1"),
            *("--exclude-path", "/api/v1/events"),  # it does not end
            *("--continue-on-failure", "--request-timeout", "15", "--no-color"),
            *("--generation-database", "none"),
        ],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        cwd=directory,
    )
