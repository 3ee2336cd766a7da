"""PostgreSQL, NATS and an MQTT broker together, on one data directory."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import time
from typing import TYPE_CHECKING, Self

from . import kept
from .broker import MANY_IN_FLIGHT, OPEN_TO_ALL, Mosquitto, mosquitto_program
from .nats import Nats
from .postgres import Postgres
from .process import Guard, LocalError, Process

if TYPE_CHECKING:
    from pathlib import Path
    from types import FrameType

__all__ = ["Stack", "Stopped", "stop_on_signals"]


class Stopped(BaseException):
    """Ctrl-C, SIGTERM or SIGHUP came."""


def stop_on_signals() -> None:
    """Raise `Stopped` at the first signal that asks for an end; later ones cannot disturb the clean-up."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def stop(_number: int, _frame: FrameType | None) -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
        raise Stopped

    for number in numbers:
        signal.signal(number, stop)


class Stack:
    """The embedded servers; a context manager that starts them and stops them in reverse order.

    Raises on entry:
        LocalError: another stack runs on the same directory, a program is missing, a server does not start.
        OSError: the directory cannot be written.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()
        self.logs = self.directory / "logs"
        self._exit = contextlib.ExitStack()
        self._processes: list[Process] = []

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as undo:
            undo.push(self._exit)
            self._start()
            undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._exit.close()

    def environment(self) -> dict[str, str]:
        """How clients reach the servers, as the settings of the services have it."""
        return {
            "DATABASE_URL": self.postgres.url(),
            "NATS_URL": self.nats.url,
            "MQTT_HOST": "127.0.0.1",
            "MQTT_PORT": str(self.mqtt_port),
        }

    def add(self, process: Process) -> None:
        """Stop `process`, already started, before the servers, and watch it with them."""
        self._processes.append(process)
        self._exit.callback(process.stop)

    def watch(self) -> None:
        """Return never.

        Raises:
            LocalError: a process ended; tells its last lines.
        """
        while True:
            for process in self._processes:
                if not process.running:
                    last = "\n  ".join(process.last_lines())
                    raise LocalError(f"{process.name} ended with code {process.returncode}:\n  {last}")
            time.sleep(0.2)

    def _start(self) -> None:
        self.logs.mkdir(parents=True, exist_ok=True)
        self.guard = Guard(keep=[self._lock()])
        self._exit.callback(self.guard.close)
        ports = kept.ports(self.directory / "ports.json", ["postgres", "nats", "mqtt"])
        self.mqtt_port = ports["mqtt"]
        self.has_mosquitto = mosquitto_program() is not None
        self.postgres = Postgres(
            self.directory / "postgres", self.guard, ports["postgres"], self.logs / "postgres.log"
        )
        self._run(self.postgres)
        self.nats = Nats(
            self.directory / "nats",
            self.guard,
            ports["nats"],
            self.logs / "nats.log",
            mqtt_port=None if self.has_mosquitto else self.mqtt_port,
        )
        self._run(self.nats)
        if self.has_mosquitto:
            place = self.directory / "mosquitto"
            lines, log = (*OPEN_TO_ALL, MANY_IN_FLIGHT), self.logs / "mosquitto.log"
            self._run(Mosquitto(place, self.guard, self.mqtt_port, log, lines=lines))

    def _run(self, server: Postgres | Nats | Mosquitto) -> None:
        self._exit.callback(server.stop)
        server.start()
        self._processes.append(server.process)

    def _lock(self) -> int:
        lock, alive = self._open("lock"), self._open("alive")
        deadline = time.monotonic() + 10
        while not _taken(lock):
            owner = os.pread(lock, 20, 0).decode().strip()
            # The owner was killed: its guard holds the lock until the last server is gone.
            if not _taken(alive) or time.monotonic() > deadline:
                raise LocalError(
                    f"already running on {self.directory} (process {owner}): stop it, or set another DATA_DIR"
                )
            fcntl.flock(alive, fcntl.LOCK_UN)
            time.sleep(0.05)
        # Ours alone, so it is free as soon as we are gone; the guard keeps the other.
        fcntl.flock(alive, fcntl.LOCK_EX)
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        return lock

    def _open(self, name: str) -> int:
        file = os.open(self.directory / name, os.O_RDWR | os.O_CREAT, 0o600)
        self._exit.callback(os.close, file)
        return file


def _taken(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
