"""One child process: started, waited for, stopped, and never left behind."""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["Guard", "LocalError", "Process", "StartError", "group_of"]


class LocalError(Exception):
    """What keeps the local servers from running, in one line that says what to change."""


class StartError(LocalError):
    """A process ended, or was not ready in time, at its start."""


class Guard:
    """The process that ends our children when we are killed.

    It alone does so: the kernel's own signal (PR_SET_PDEATHSIG) is asked for between fork and exec, where
    a lock that another thread held at the fork stops the child for good.

    Args:
        keep: open file descriptors it holds until the last child is gone, such as the lock of a data
            directory: whoever gets the lock next then finds no server still at work there.
    """

    def __init__(self, keep: Sequence[int] = ()) -> None:
        # A session of its own: Ctrl-C in the terminal and a kill of our process group pass it by.
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(Path(__file__).with_name("guard.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=tuple(keep),
            cwd="/",
        )

    def watch(self, pid: int, number: int) -> None:
        """End `pid` with this signal if we die."""
        self._tell(f"+{pid} {number}\n")

    def forget(self, pid: int) -> None:
        """`pid` has ended: its number may soon be another's."""
        self._tell(f"-{pid}\n")

    def close(self) -> None:
        """End what is still watched, and the guard itself."""
        if self._process.stdin:
            self._process.stdin.close()
        self._process.wait()

    def _tell(self, line: str) -> None:
        assert self._process.stdin
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(line.encode())
            self._process.stdin.flush()


class Process:
    """A command that runs until stopped, its output in `log` (emptied at each start).

    Args:
        name: what messages call it.
        command: program and arguments.
        guard: ends it when we die.
        log: file for standard output and error.
        environment: the whole environment; ours when left out.
        user: run as this user (name), when we are root.
        stop_signal: asks for an orderly end.
        death_signal: sent when we die.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        guard: Guard,
        log: Path,
        *,
        environment: Mapping[str, str] | None = None,
        user: str | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        death_signal: signal.Signals = signal.SIGTERM,
    ) -> None:
        self.name = name
        self.command = list(command)
        self.log = log
        self._guard = guard
        self.environment = environment
        self._user = user
        self._stop_signal = stop_signal
        self._death_signal = death_signal
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Process id of the running child."""
        if self._child is None:
            raise LocalError(f"{self.name} is not running")
        return self._child.pid

    @property
    def running(self) -> bool:
        """Whether the child is there."""
        return self._child is not None and self._child.poll() is None

    @property
    def returncode(self) -> int | None:
        """Exit code of the child, negative for a signal; None while it runs or before its start."""
        return self._child.poll() if self._child else None

    def start(self, ready: Callable[[], bool] | None = None, timeout: float = 30) -> None:
        """Start the child and wait until `ready()` is true.

        Raises:
            StartError: it ended, or `timeout` seconds passed.
        """
        with self.log.open("wb") as log:
            self._child = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self.environment,
                start_new_session=True,
                cwd="/" if self._user else None,
                user=self._user,
                group=group_of(self._user),
                extra_groups=[] if self._user else None,
            )
        self._guard.watch(self._child.pid, self._death_signal)
        if ready:
            self._wait_until(ready, timeout)

    def stop(self, timeout: float = 10) -> None:
        """Ask the child to end; SIGKILL after `timeout` seconds. Does nothing when it has ended."""
        if self.running:
            self.signal(self._stop_signal)
            self.signal(signal.SIGCONT)
            if not self.wait(timeout):
                self.signal(signal.SIGKILL)
        self._reap()

    def kill(self) -> None:
        """End the child with SIGKILL, as a crash would."""
        self.signal(signal.SIGKILL)
        self._reap()

    def freeze(self) -> None:
        """Stop the child in its tracks: its sockets stay open and nothing answers."""
        if self._child is not None:
            self._child.send_signal(signal.SIGSTOP)
            # One thread may still answer while another has stopped.
            os.waitpid(self._child.pid, os.WUNTRACED)

    def thaw(self) -> None:
        """Let a frozen child go on."""
        self.signal(signal.SIGCONT)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the child, if it is there."""
        if self._child is not None:
            self._child.send_signal(number)

    def wait(self, timeout: float) -> bool:
        """Whether the child ended within `timeout` seconds."""
        if self._child is None:
            return True
        try:
            self._child.wait(timeout)
        except subprocess.TimeoutExpired:
            return False
        return True

    def output(self) -> str:
        """What the child has written since its start."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def last_lines(self, count: int = 10) -> list[str]:
        """The end of `output()`, blank lines left out."""
        return [line for line in self.output().splitlines() if line.strip()][-count:]

    def _wait_until(self, ready: Callable[[], bool], timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while not ready():
            if not self.running:
                self._reap()
                raise StartError(f"{self.name} did not start: {self._reason()} (log: {self.log})")
            if time.monotonic() > deadline:
                self.kill()
                raise StartError(f"{self.name} was not ready after {timeout:g} s (log: {self.log})")
            time.sleep(0.01)

    def _reason(self) -> str:
        lines = self.last_lines(40)
        telling = [
            line for line in lines if any(word in line for word in ("FATAL", "[FTL]", "Error", "rror:"))
        ]
        return (telling or lines or [f"exit code {self.returncode}"])[0].strip()

    def _reap(self) -> None:
        if self._child is not None:
            self._child.wait()
            self._guard.forget(self._child.pid)


def group_of(user: str | None) -> int | None:
    """Id of a user's first group."""
    return pwd.getpwnam(user).pw_gid if user else None


class Server(ABC):
    """A server that is one process: how it is stopped and disturbed. Its kind says how it starts."""

    process: Process

    @abstractmethod
    def start(self) -> None:
        """Start the server and wait until it is ready.

        Raises:
            StartError: with the server's reason.
        """

    def stop(self) -> None:
        """Stop the server in good order."""
        self.process.stop()

    def kill(self) -> None:
        """End the server as a crash would; what it has not saved is gone."""
        self.process.kill()

    def restart(self, *, kill: bool = False) -> None:
        """Stop (or kill) the server and start it again on the same port with the same data."""
        if kill:
            self.kill()
        else:
            self.stop()
        self.start()

    def freeze(self) -> None:
        """Leave connections open and answer nothing."""
        self.process.freeze()

    def thaw(self) -> None:
        """Go on after `freeze`."""
        self.process.thaw()
