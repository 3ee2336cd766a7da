"""`python -m deploy.local stack|run|publish`."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from .process import LocalError
from .publish import publish
from .run import run
from .stack import Stack, Stopped, stop_on_signals

USAGE = "usage: python -m deploy.local stack|run|publish  (settings: DATA_DIR, HTTP_PORT, DEMO)"


def main() -> int:
    """Run one command: exit code 0 when stopped by a signal, 1 with a line of reason, 2 for a wrong call."""
    commands = {"stack": stack, "run": lambda: run(data_dir()), "publish": lambda: asyncio.run(publish())}
    if len(sys.argv) != 2 or sys.argv[1] not in commands:
        print(USAGE, file=sys.stderr)
        return 2
    stop_on_signals()
    try:
        commands[sys.argv[1]]()
    except Stopped:
        return 0
    except LocalError as error:
        print(f"error: {error}", file=sys.stderr)
    except OSError as error:
        place = f": {error.filename}" if error.filename else ""
        print(f"error: {error.strerror or error}{place} (DATA_DIR is {data_dir()})", file=sys.stderr)
    return 1


def stack() -> None:
    """The embedded servers alone, until stopped."""
    with Stack(data_dir()) as servers:
        for name, value in servers.environment().items():
            print(f"{name}={value}")
        print("READY", flush=True)
        servers.watch()


def data_dir() -> Path:
    """Where everything is kept, from DATA_DIR."""
    return Path(os.environ.get("DATA_DIR") or ".data")


if __name__ == "__main__":
    sys.exit(main())
