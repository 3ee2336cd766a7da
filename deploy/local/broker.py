"""Mosquitto on loopback, where it is installed."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from .process import Guard, LocalError, Process, Server

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["Mosquitto", "mosquitto_program"]

OPEN_TO_ALL = ("allow_anonymous true",)
# The default of 20 messages without an acknowledgement lets a few slow ones hold up all others of a client.
MANY_IN_FLIGHT = "max_inflight_messages 1000"


class Mosquitto(Server):
    """One Mosquitto on loopback, its sessions and retained messages in `directory`.

    Args:
        directory: made when it is not there; holds configuration and data.
        guard: ends the broker when we die.
        port: plain MQTT port.
        log: file for the broker's log.
        lines: what the configuration says of listeners and access beside the plain one.
    """

    def __init__(
        self, directory: Path, guard: Guard, port: int, log: Path, *, lines: Sequence[str] = OPEN_TO_ALL
    ) -> None:
        program = mosquitto_program()
        if program is None:
            raise LocalError("mosquitto is not installed: install the system package mosquitto")
        self.host = "127.0.0.1"
        self.port = port
        self.lines = list(lines)
        self._directory = directory
        self._config = directory / "mosquitto.conf"
        self.process = Process("mosquitto", [program, "-c", str(self._config)], guard, log)

    def start(self) -> None:
        """Start the broker and wait for its own ready line.

        Raises:
            StartError: with the broker's reason.
        """
        self._directory.mkdir(parents=True, exist_ok=True)
        self._config.write_text(self._configuration())
        self.process.start(lambda: " running" in self.process.output())

    def _configuration(self) -> str:
        own = [
            # As root it would take a user of its own, who need not be able to reach the directory.
            *(["user root"] if os.geteuid() == 0 else []),
            "persistence true",
            f"persistence_location {self._directory}/",
            "autosave_interval 60",
            # The default of 1000 drops further messages of a session that is away, and says nothing.
            "max_queued_messages 0",
            "log_dest stderr",
            f"listener {self.port} {self.host}",
        ]
        return "\n".join([*own, *self.lines]) + "\n"


def mosquitto_program() -> str | None:
    """Path of mosquitto; Debian keeps it where the PATH of a plain user does not look."""
    return shutil.which("mosquitto") or shutil.which(
        "mosquitto", path="/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin"
    )
