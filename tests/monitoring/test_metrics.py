"""What `/metrics` of the real services tells is what docs/reference/metrics.md lists."""

from __future__ import annotations

import asyncio
import re
import subprocess
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.config_service.http import ADMIN_TOKEN
from tests.support.processes import read, request
from tests.support.servers import require_program
from tests.support.waiting import eventually

from .conftest import environment_of

if TYPE_CHECKING:
    from deploy.local.nats import Nats
    from tests.support.processes import Processes

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "metrics.md"
_ROW = re.compile(r"^\| `(?P<name>\w+)` \| (?P<kind>\w+) \|(?P<labels>[^|]*)\|", re.MULTILINE)


class Metric(NamedTuple):
    name: str
    kind: str
    labels: tuple[str, ...]


def documented(section: str) -> set[Metric]:
    """The rows of a section of the page."""
    text = PAGE.read_text().split(f"\n## {section}\n")[1].split("\n## ")[0]
    rows = [
        Metric(row["name"], row["kind"], tuple(sorted(re.findall(r"\w+", row["labels"]))))
        for row in _ROW.finditer(text)
    ]
    assert len(rows) == len(set(rows))
    return set(rows)


def told(text: str) -> set[Metric]:
    """The metrics in an exposition."""
    found: set[Metric] = set()
    for family in text_string_to_metric_families(text):
        assert family.samples, f"{family.name} has no sample"
        assert family.documentation
        labels = {name for sample in family.samples for name in sample.labels} - {"le"}
        # The parser takes the end off a counter's name.
        name = f"{family.name}_total" if family.type == "counter" else family.name
        found.add(Metric(name, family.type, tuple(sorted(labels))))
    return found


def scrape(port: int) -> str:
    return read(port, "/metrics")


@pytest.fixture
async def expositions(
    database_url: str, nats_server: Nats, nats_root: str, processes: Processes
) -> dict[str, str]:
    """Of both services, scraped from running processes."""
    ports = dict[str, int]()
    for service in ("config_service", "status_collector"):
        environment = environment_of(service, database_url, nats_server.url, nats_root)
        _, ports[service.replace("_", "-")] = await processes.serve(service, environment=environment)
    headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
    path, body = "/api/v1/products", {"name": "shop"}
    await asyncio.to_thread(request, ports["config-service"], "POST", path, body, headers)
    return {name: await asyncio.to_thread(scrape, port) for name, port in ports.items()}


async def test_the_page_lists_what_is_told_and_nothing_else(expositions: dict[str, str]) -> None:
    both = documented("Both")
    for service, text in expositions.items():
        assert told(text) == documented(service) | both
        prefix = service.replace("-", "_")
        assert {each.name for each in documented(service) if not each.name.startswith(prefix)} == set()


async def test_how_long_a_stream_was_open_is_no_duration_of_an_answer(
    database_url: str, nats_server: Nats, nats_root: str, processes: Processes
) -> None:
    environment = environment_of("config_service", database_url, nats_server.url, nats_root)
    _, port = await processes.serve("config_service", environment=environment)
    url = f"http://127.0.0.1:{port}/api/v1/events"
    asked = urllib.request.Request(url, headers={"Authorization": f"Bearer {ADMIN_TOKEN}"})

    def listen() -> None:
        with urllib.request.urlopen(asked, timeout=10) as stream:
            assert stream.readline()

    await asyncio.to_thread(listen)
    of_streams = 'method="GET",route="/api/v1/events"'

    async def is_counted() -> bool:
        return f'requests_total{{{of_streams},status="200"}} 1.0' in await asyncio.to_thread(scrape, port)

    await eventually(is_counted, every=0.2)
    text = await asyncio.to_thread(scrape, port)
    assert 'duration_seconds_count{method="GET",route="/metrics"}' in text
    assert f"duration_seconds_count{{{of_streams}}}" not in text


async def test_names_follow_the_conventions(expositions: dict[str, str]) -> None:
    promtool = require_program("promtool", "prometheus")
    for text in expositions.values():
        linted = subprocess.run(
            [promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False
        )
        assert (linted.returncode, linted.stderr) == (0, "")


def test_counters_end_in_total_and_nothing_else_does() -> None:
    every = documented("config-service") | documented("status-collector") | documented("Both")
    assert {each for each in every if (each.kind == "counter") != each.name.endswith("_total")} == set()
