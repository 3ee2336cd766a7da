"""What is handed to systemd and to a container builder."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.servers import require_program

ROOT = Path(__file__).parents[2]
UNITS = sorted((ROOT / "deploy/systemd").glob("*.service"))
CONTAINERFILE = ROOT / "deploy/Containerfile"


def test_each_command_has_a_unit() -> None:
    assert [unit.name for unit in UNITS] == [
        "config-service.service",
        "product-instance@.service",
        "status-collector.service",
    ]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_understands_the_unit(unit: Path, tmp_path: Path) -> None:
    analyze = require_program("systemd-analyze", "systemd")
    # It looks for the commands, which stand elsewhere here.
    text = unit.read_text().replace("/opt/mqtt-control-plane/bin", str(Path(sys.executable).parent))
    copy = tmp_path / unit.name.replace("@", "@one")
    copy.write_text(text)
    verified = subprocess.run(
        [analyze, "verify", "--man=no", str(copy)], capture_output=True, text=True, check=False
    )
    about_it = [line for line in verified.stderr.splitlines() if str(copy) in line or copy.name in line]
    assert about_it == []
    # Of 100; a unit without hardening has 96.
    secure = subprocess.run(
        [analyze, "security", "--offline=true", "--threshold=20", str(copy)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert secure.returncode == 0, secure.stdout[-500:]


def test_the_image_takes_what_is_there_and_names_no_registry() -> None:
    lines = CONTAINERFILE.read_text().splitlines()
    for line in (line for line in lines if line.startswith("COPY ") and "--from" not in line):
        for source in line.split()[1:-1]:
            assert (ROOT / source).exists(), line
    (base,) = re.findall(r"^ARG PYTHON=(.*)$", CONTAINERFILE.read_text(), re.MULTILINE)
    assert "/" not in base
    locked = (ROOT / "requirements.lock").read_text()
    (removed,) = [line for line in lines if "pip uninstall" in line]
    for name in removed.split("-y ")[1].split():
        assert name == "pip" or f"\n{name}==" in locked, name
