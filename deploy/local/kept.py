"""What is made once and kept in the data directory: secrets and ports."""

from __future__ import annotations

import json
import os
import random
import socket
from typing import TYPE_CHECKING

from .process import LocalError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

__all__ = ["free_port", "is_free", "ports", "secret", "write_secret"]

# Below the range from which systems take the ports of outgoing connections, so that a server
# that restarts finds its port free.
_FIRST_PORT, _LAST_PORT = 20_000, 32_000


def secret(path: Path, make: Callable[[], str]) -> str:
    """The text in `path`, made and written (mode 600) when the file is not there."""
    if not path.exists():
        write_secret(path, make())
    return path.read_text()


def write_secret(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    part = path.with_name(f"{path.name}.new")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    part.replace(path)


def ports(path: Path, names: Sequence[str]) -> dict[str, int]:
    """A free port on loopback for each name: the one of the last run where it is still free."""
    before = _kept_ports(path)
    chosen: dict[str, int] = {}
    for name in names:
        port = before.get(name)
        chosen[name] = port if port and is_free(port) else free_port(not_these=chosen.values())
    path.write_text(json.dumps(before | chosen))
    return chosen


def _kept_ports(path: Path) -> dict[str, int]:
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return {}


def free_port(not_these: Iterable[int] = ()) -> int:
    """A port on loopback on which nothing listens."""
    taken = set(not_these)
    for _ in range(1000):
        port = random.randint(_FIRST_PORT, _LAST_PORT)  # noqa: S311 - not a secret
        if port not in taken and is_free(port):
            return port
    raise LocalError(f"no free port between {_FIRST_PORT} and {_LAST_PORT} on 127.0.0.1")


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen there now."""
    with socket.socket() as probe:
        # As servers do: connections of an earlier run that are still closing are no hindrance.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
