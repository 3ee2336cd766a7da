"""The login that status-collector uses: a member of the role that the migrations made, and nothing more."""

from __future__ import annotations

import asyncio
from typing import Any, cast
from urllib.parse import urlsplit, urlunsplit

import asyncpg

__all__ = ["collector_url"]

_LOGIN, _GROUP = "status_collector", "mqtt_status_collector"


def collector_url(owner_url: str, password: str) -> str:
    """Make the login, or give it this password, and tell its connection URL. Blocks."""
    asyncio.run(_ensure(owner_url, password))
    parts = urlsplit(owner_url)
    return urlunsplit(parts._replace(netloc=f"{_LOGIN}:{password}@{parts.hostname}:{parts.port}"))


async def _ensure(owner_url: str, password: str) -> None:
    connection = await cast("Any", asyncpg).connect(owner_url)  # partly untyped
    try:
        if not await connection.fetchval("select 1 from pg_roles where rolname = $1", _LOGIN):
            await connection.execute(f"create role {_LOGIN} login in role {_GROUP}")
        # Statements of this kind take no parameters.
        literal = await connection.fetchval("select quote_literal($1)", password)
        await connection.execute(f"alter role {_LOGIN} password {literal}")
    finally:
        await connection.close()
