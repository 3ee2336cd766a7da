"""`python -m deploy.local stack` as users run it."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.servers import fetch_value
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def data_dir(server_directory: Path) -> Iterator[Path]:
    """A data directory that the unprivileged user of PostgreSQL can enter."""
    place = server_directory / f"stack-{secrets.token_hex(4)}"
    yield place
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture
def start() -> Iterator[Callable[[Path], subprocess.Popen[str]]]:
    """Starts a stack on a data directory."""
    made: list[subprocess.Popen[str]] = []

    def start(place: Path) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "deploy.local", "stack"],
            env=os.environ | {"DATA_DIR": str(place)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        made.append(process)
        return process

    yield start
    for process in made:
        process.terminate()
        process.communicate(timeout=20)


def _until_ready(process: subprocess.Popen[str]) -> dict[str, str]:
    assert process.stdout
    lines: list[str] = []
    for line in process.stdout:
        if line == "READY\n":
            return dict(each.split("=", 1) for each in lines)
        lines.append(line.strip())
    assert process.stderr
    raise AssertionError(f"no READY: {process.stderr.read()}")


def _running_on(place: Path) -> list[str]:
    shown = subprocess.run(
        ["ps", "-A", "-ww", "-o", "stat=,pid=,command="], capture_output=True, text=True, check=True
    ).stdout
    return [line for line in shown.splitlines() if str(place) in line and not line.startswith("Z")]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_it_tells_where_the_servers_are_and_stops_in_good_order(
    start: Callable[[Path], subprocess.Popen[str]], data_dir: Path, number: signal.Signals
) -> None:
    process = start(data_dir)
    told = _until_ready(process)
    assert list(told) == ["DATABASE_URL", "NATS_URL", "MQTT_HOST", "MQTT_PORT"]
    assert await fetch_value(told["DATABASE_URL"], "select 1") == 1
    process.send_signal(number)
    assert process.wait(20) == 0
    assert _running_on(data_dir) == []


async def test_after_a_kill_nothing_is_left_and_the_next_start_has_the_data_and_the_ports(
    start: Callable[[Path], subprocess.Popen[str]], data_dir: Path
) -> None:
    process = start(data_dir)
    told = _until_ready(process)
    await fetch_value(told["DATABASE_URL"], "create table kept as select 42 as n")
    assert len(_running_on(data_dir)) >= 2
    process.kill()
    again = start(data_dir)
    assert _until_ready(again) == told
    assert await fetch_value(told["DATABASE_URL"], "select n from kept") == 42
    again.kill()
    await eventually(lambda: not _running_on(data_dir))


def test_two_stacks_run_side_by_side(start: Callable[[Path], subprocess.Popen[str]], data_dir: Path) -> None:
    first, second = start(data_dir / "a"), start(data_dir / "b")
    told = (_until_ready(first), _until_ready(second))
    assert all(told[0][name] != told[1][name] for name in ("DATABASE_URL", "NATS_URL", "MQTT_PORT"))


def test_a_second_run_on_the_same_directory_is_refused(
    start: Callable[[Path], subprocess.Popen[str]], data_dir: Path
) -> None:
    first = start(data_dir)
    _until_ready(first)
    second = start(data_dir)
    _, reason = second.communicate(timeout=20)
    assert second.returncode == 1
    assert reason == (
        f"error: already running on {data_dir} (process {first.pid}): stop it, or set another DATA_DIR\n"
    )
    assert first.poll() is None


def test_a_directory_that_cannot_be_made_gives_one_line(
    start: Callable[[Path], subprocess.Popen[str]], data_dir: Path
) -> None:
    data_dir.write_text("a file stands in the way")
    process = start(data_dir)
    _, reason = process.communicate(timeout=20)
    assert process.returncode == 1
    assert reason.startswith("error: ")
    assert str(data_dir) in reason
    assert reason.count("\n") == 1
    data_dir.unlink()


def test_passwords_are_for_their_owner_alone(
    start: Callable[[Path], subprocess.Popen[str]], data_dir: Path
) -> None:
    _until_ready(start(data_dir))
    assert (data_dir / "postgres" / "password").stat().st_mode & 0o077 == 0
