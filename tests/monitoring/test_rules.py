"""Alert rules and the Grafana dashboard speak of metrics that exist, and every alert has its runbook."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.support.servers import require_program

from .test_metrics import documented

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
_FUNCTIONS = {
    *("absent", "changes", "histogram_quantile", "increase", "rate", "time"),
    *("and", "count", "max", "min", "on", "or", "sum", "topk"),
}
# What Prometheus adds by itself.
_OF_TARGETS = {"job", "instance"}
_SELECTOR = re.compile(r"(\w+)\{([^}]*)\}")


def metrics() -> dict[str, set[str]]:
    """The labels of each series that there is."""
    found: dict[str, set[str]] = {"up": set()}
    for section in ("config-service", "status-collector", "Both"):
        for metric in documented(section):
            found[metric.name] = set(metric.labels)
            if metric.kind == "histogram":
                found[f"{metric.name}_bucket"] = {*metric.labels, "le"}
    return found


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    return json.loads((ROOT / "deploy" / "grafana" / "dashboard.json").read_text())["panels"]


def expressions() -> Iterator[tuple[str, str]]:
    """Name and PromQL of every alert and of every query of the dashboard."""
    for rule in alerts():
        yield rule["alert"], rule["expr"]
    for panel in panels():
        for target in panel.get("targets", ()):
            yield f"{panel['title']} {target['refId']}", target["expr"].replace("$__rate_interval", "5m")


_EXPRESSIONS = dict(expressions())


@pytest.mark.parametrize("name", _EXPRESSIONS)
def test_every_expression_speaks_of_metrics_and_labels_that_exist(name: str) -> None:
    known, expression = metrics(), _EXPRESSIONS[name]
    for metric, matchers in _SELECTOR.findall(expression):
        labels = set(re.findall(r"(\w+)\s*[=!]", matchers))
        assert labels <= known[metric] | _OF_TARGETS
    rest = re.sub(r"\{[^}]*\}|\[[^]]*\]|\"[^\"]*\"", "", expression)
    grouped = {label for names in re.findall(r"\b(?:by|on) \(([^)]*)\)", rest) for label in names.split(", ")}
    words = set(re.findall(r"[a-z_]\w*", re.sub(r"\b(by|on) \([^)]*\)", "", rest)))
    used = words - _FUNCTIONS
    assert used
    assert used <= known.keys()
    assert grouped - {""} <= set().union(*(known[metric] for metric in used)) | _OF_TARGETS


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    text = (ROOT / "docs" / "how-to" / "alerts.md").read_text()
    headings = re.findall(r"^### (\w+)$", text, re.MULTILINE)
    assert headings == [rule["alert"] for rule in alerts()]
    for rule in alerts():
        assert rule["annotations"]["runbook_url"] == f"docs/how-to/alerts.md#{rule['alert'].lower()}"
        assert rule["labels"]["severity"] in ("critical", "warning")
        section = text.split(f"### {rule['alert']}\n")[1].split("\n### ")[0]
        for part in ("**Means**", "**Look at**", "**Do**"):
            assert part in section, rule["alert"]


def test_every_alert_is_tested() -> None:
    cases = yaml.safe_load((PROMETHEUS / "alerts.test.yml").read_text())["tests"]
    assert [case["name"] for case in cases] == ["a quiet day", *(rule["alert"] for rule in alerts())]


def test_the_dashboard_is_one_that_grafana_can_draw() -> None:
    drawn = panels()
    assert len({panel["id"] for panel in drawn}) == len(drawn)
    taken: set[tuple[int, int]] = set()
    for panel in drawn:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
        if panel["type"] != "row":
            assert panel["targets"]
            assert panel["description"]
            assert panel["datasource"]["uid"] == "${datasource}"


def promtool(*arguments: str) -> None:
    program = require_program("promtool", "prometheus")
    ran = subprocess.run([program, *arguments], capture_output=True, text=True, check=False, cwd=PROMETHEUS)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_alerts_fire_when_they_should_and_not_on_a_quiet_day() -> None:
    promtool("check", "config", "prometheus.yml")
    promtool("test", "rules", "alerts.test.yml")


def test_prometheus_understands_the_queries_of_the_dashboard(tmp_path: Path) -> None:
    of_alerts = {rule["alert"] for rule in alerts()}
    queries = [each for name, each in _EXPRESSIONS.items() if name not in of_alerts]
    rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(queries)]
    path = tmp_path / "queries.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", str(path))
