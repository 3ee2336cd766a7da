"""Ends a process's children once that process is gone, however it went. Runs alone, without imports of ours.

Standard input brings `+<pid> <signal>` and `-<pid>`, one a line. Its end means that the parent is gone:
each process still listed gets its signal, and SIGKILL when it is there five seconds later.
"""

from __future__ import annotations

import os
import signal
import sys
import time

GRACE_SECONDS = 5.0


def main() -> None:
    """Read the list until its end, then end what is on it."""
    watched: dict[int, int] = {}
    for line in sys.stdin:
        _note(watched, line.rstrip("\n"))
    for pid, number in reversed(watched.items()):
        _send(pid, number)
        # A stopped process takes no signal but SIGKILL until it goes on.
        _send(pid, signal.SIGCONT)
    deadline = time.monotonic() + GRACE_SECONDS
    while any(_send(pid, 0) for pid in watched) and time.monotonic() < deadline:
        time.sleep(0.02)
    for pid in watched:
        _send(pid, signal.SIGKILL)


def _note(watched: dict[int, int], line: str) -> None:
    if line.startswith("+"):
        pid, number = line[1:].split()
        watched[int(pid)] = int(number)
    elif line.startswith("-"):
        watched.pop(int(line[1:]), None)


def _send(pid: int, number: int) -> bool:
    try:
        os.kill(pid, number)
    except OSError:
        return False
    return True


if __name__ == "__main__":
    main()
