"""Processes whose clock is wrong, by libfaketime."""

from __future__ import annotations

import functools
import subprocess

from .servers import require_program

__all__ = ["skewed"]


def skewed(seconds: float) -> dict[str, str]:
    """Environment of a process whose clock is so far off; the monotonic one is not.

    Skips the test where libfaketime is missing.
    """
    return {"LD_PRELOAD": _library(), "FAKETIME": f"{seconds:+g}", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


@functools.cache
def _library() -> str:
    command = [require_program("faketime", "faketime"), "-m", "-f", "+0", "printenv", "LD_PRELOAD"]
    # It puts its library before what is preloaded already.
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip().split(":")[0]
