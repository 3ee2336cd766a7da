"""Everything behind HTTP, put together: opened in order, closed in reverse."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from msgspec import Struct

from mqtt_shared.subjects import Subjects

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator

    from .usecases import Usecases

__all__ = ["Backend", "BackendSettings", "open_backend"]


class BackendSettings(Struct, frozen=True, kw_only=True):
    """What the backend needs to know."""

    database_url: str
    nats_url: str
    keys: tuple[str, ...]
    """`MQTT_PASSWORD_ENCRYPTION_KEY`, split at the commas: the first encrypts, all decrypt."""
    subjects: Subjects = Subjects()
    pool_size: int = 10
    """Most connections to PostgreSQL."""
    bucket_replicas: int = 1
    """How many NATS servers hold the bucket."""
    reconcile_seconds: float = 3.0


class Backend(Struct, frozen=True):
    """The open backend. `died` is done, with the error, as soon as a background task has ended by itself."""

    usecases: Usecases
    died: asyncio.Future[None]


@asynccontextmanager
async def open_backend(settings: BackendSettings) -> AsyncIterator[Backend]:
    """Migrate, check the keys against what is stored, start publishing and reconciling.

    Waits for a PostgreSQL that is away, saying so in the log; NATS may come later.

    Raises:
        SchemaError: the database is newer than this code.
        InvalidKeyError, WrongKeyError: `MQTT_PASSWORD_ENCRYPTION_KEY` does not fit; the text names it.
    """
    raise NotImplementedError
    yield  # type: ignore[unreachable]
