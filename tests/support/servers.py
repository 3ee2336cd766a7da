"""Real servers for tests, each in a directory of its own."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import asyncpg
import pytest

from deploy.local import kept
from deploy.local.broker import OPEN_TO_ALL, Mosquitto, mosquitto_program
from deploy.local.nats import Nats
from deploy.local.postgres import Postgres

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from deploy.local.process import Guard

    from .certificates import KeyPair

T = TypeVar("T")
# Partly untyped.
_asyncpg: Any = asyncpg
_FAST = ("full_page_writes=off", "max_wal_size=4GB", "autovacuum=off")


class Servers:
    """Makes servers under `base` and stops all of them in `close`."""

    def __init__(self, base: Path, guard: Guard) -> None:
        self.base = base
        self._guard = guard
        self._made: list[Postgres | Nats | Mosquitto] = []

    def postgres(self) -> Postgres:
        """A new PostgreSQL that does not wait for the disk, started."""
        place = self._place("postgres")
        log = place / "log"
        server = Postgres(place, self._guard, kept.free_port(), log, durable=False, options=_FAST)
        return self._started(server)

    def nats(self, *, mqtt: bool = False) -> Nats:
        """A new NATS server with JetStream, started; `mqtt` opens its MQTT listener."""
        place = self._place("nats")
        port = kept.free_port()
        mqtt_port = kept.free_port(not_these=[port]) if mqtt else None
        return self._started(Nats(place, self._guard, port, place / "log", mqtt_port=mqtt_port))

    def mosquitto(
        self,
        *lines: str,
        passwords: Mapping[str, str] | None = None,
        acl: str | None = None,
        tls: KeyPair | None = None,
        client_ca: Path | None = None,
    ) -> Broker:
        """A new Mosquitto, started. Skips the test where Mosquitto is not installed.

        Args:
            lines: more configuration.
            passwords: user names and passwords; when given, nobody else gets in.
            acl: text of an access list.
            tls: opens a second listener (`tls_port`) with this certificate.
            client_ca: that listener demands a client certificate of this authority.
        """
        require_mosquitto()
        place = self._place("mosquitto")
        broker = Broker(place, self._guard, kept.free_port(), place / "log")
        broker.lines = [*_access(place, passwords, acl), *lines]
        if tls:
            broker.tls_port = kept.free_port(not_these=[broker.port])
            broker.lines += _tls_listener(broker.tls_port, tls, client_ca)
        return self._started(broker)

    def close(self) -> None:
        """Stop every server that was made here."""
        for server in reversed(self._made):
            server.kill()

    def _place(self, kind: str) -> Path:
        place = self.base / f"{kind}-{len(self._made)}"
        place.mkdir()
        return place

    def _started(self, server: S) -> S:
        self._made.append(server)
        server.start()
        return server


S = TypeVar("S", bound=Postgres | Nats | Mosquitto)


class Broker(Mosquitto):
    """A Mosquitto that may have a TLS listener too."""

    tls_port: int = 0


def require_mosquitto() -> None:
    """Skip the test where Mosquitto is missing; fail it where it must be there."""
    if mosquitto_program() is None:
        miss("mosquitto is not installed")


def require_program(name: str, package: str) -> str:
    """Path of a program of a Debian package; skips the test, or fails it, as `require_mosquitto` does."""
    path = shutil.which(name)
    if path is None:
        miss(f"{name} is not installed (Debian package {package})")
    return path


def miss(what: str) -> NoReturn:
    """Skip the test for want of what a system package has; fail it where all of them must be there."""
    if os.environ.get("REQUIRE_SYSTEM_PACKAGES") == "1":
        pytest.fail(f"{what}, and REQUIRE_SYSTEM_PACKAGES=1")
    pytest.skip(what)


def execute(url: str, *statements: str) -> None:
    """Run SQL statements, from a place without an event loop or inside one."""

    async def run() -> None:
        for statement in statements:
            await fetch_value(url, statement)

    outside_loop(lambda: asyncio.run(run()))


async def fetch_value(url: str, query: str, *arguments: object) -> Any:
    """First value of a query's answer, on a connection of its own."""
    connection = await _asyncpg.connect(url)
    try:
        return await connection.fetchval(query, *arguments)
    finally:
        await connection.close()


def outside_loop(work: Callable[[], T]) -> T:
    """The result of `work()` in a thread without an event loop, so that it may start one."""
    assert threading.current_thread() is threading.main_thread()
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()


def _access(place: Path, passwords: Mapping[str, str] | None, acl: str | None) -> list[str]:
    lines: list[str] = []
    if acl is not None:
        _write_private(place / "acl", acl)
        lines.append(f"acl_file {place / 'acl'}")
    if passwords is None:
        return [*OPEN_TO_ALL, *lines]
    text = "".join(f"{user}:{_hashed(password)}\n" for user, password in passwords.items())
    _write_private(place / "passwords", text)
    return ["allow_anonymous false", f"password_file {place / 'passwords'}", *lines]


def _write_private(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o600)


def _hashed(password: str) -> str:
    """As mosquitto_passwd writes it: PBKDF2 with SHA-512."""
    salt = os.urandom(12)
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, 101)
    return f"$7$101${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


def _tls_listener(port: int, pair: KeyPair, client_ca: Path | None) -> list[str]:
    lines = [f"listener {port} 127.0.0.1", f"certfile {pair.certificate}", f"keyfile {pair.key}"]
    if client_ca:
        lines += [f"cafile {client_ca}", "require_certificate true"]
    return lines
