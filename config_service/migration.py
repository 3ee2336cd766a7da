"""The schema's versions, by Alembic, without an alembic.ini."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

__all__ = ["NewerDatabaseError", "OlderDatabaseError", "SchemaError", "check", "upgrade"]

# Any number, the same in every replica.
_LOCK = text("select pg_advisory_xact_lock(5174311730221)")


class SchemaError(Exception):
    """The database's schema is not the one that this code works with."""


class NewerDatabaseError(SchemaError):
    """The database was migrated by a newer version of config-service."""

    def __init__(self, found: str, known: str) -> None:
        super().__init__(
            f"the database is at schema version {found}, this config-service knows {known} as the newest: "
            "start one that is as new as the database, or restore the backup made before its upgrade"
        )


class OlderDatabaseError(SchemaError):
    """The database lacks migrations."""

    def __init__(self, found: str | None, known: str) -> None:
        super().__init__(
            f"the database is at schema version {found or 'none'}, not {known}: run config-service migrate"
        )


def upgrade(database_url: str, version: str = "head") -> None:
    """Bring the database to the newest version. Safe when several replicas do it at once.

    Blocks; runs a loop of its own in a thread, so it may be called with or without a running one.

    Raises:
        NewerDatabaseError: the database is newer than this code; nothing was changed.
        OSError, sqlalchemy.exc.DBAPIError: the server does not take the connection or the statements.
    """
    _run(database_url, lambda connection: _upgrade(connection, version))


def check(database_url: str) -> None:
    """Is the database at the version that this code needs? Blocks, like `upgrade`.

    Raises:
        NewerDatabaseError, OlderDatabaseError: no.
    """
    _run(database_url, _check)


def _run(database_url: str, work: Callable[[Connection], None]) -> None:
    with ThreadPoolExecutor(1, thread_name_prefix="migration") as executor:
        executor.submit(lambda: asyncio.run(_connected(database_url, work))).result()


async def _connected(database_url: str, work: Callable[[Connection], None]) -> None:
    url = make_url(database_url).set(drivername="postgresql+asyncpg")
    engine = create_async_engine(url, poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            await connection.run_sync(work)
    finally:
        await engine.dispose()


def _upgrade(connection: Connection, version: str) -> None:
    # Held until the transaction ends: the second replica then finds nothing left to do.
    connection.execute(_LOCK)
    config = _config()
    _refuse_newer(connection, ScriptDirectory.from_config(config))
    config.attributes["connection"] = connection
    command.upgrade(config, version)


def _check(connection: Connection) -> None:
    script = ScriptDirectory.from_config(_config())
    found = _refuse_newer(connection, script)
    if found != script.get_current_head():
        raise OlderDatabaseError(found, str(script.get_current_head()))


def _refuse_newer(connection: Connection, script: ScriptDirectory) -> str | None:
    found = MigrationContext.configure(connection).get_current_revision()
    if found and found not in {known.revision for known in script.walk_revisions()}:
        raise NewerDatabaseError(found, str(script.get_current_head()))
    return found


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return config
