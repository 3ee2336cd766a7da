"""Everything behind HTTP, put together: opened in order, closed in reverse."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from msgspec import Struct

from mqtt_shared.readiness import Dependency, Probe, Readiness
from mqtt_shared.subjects import Subjects

from . import migration
from .background import Background
from .feed import Feed
from .live import Live
from .publisher import Link, Publisher, why_silent
from .reconciler import Reconciler
from .store import Store, wait_for_database, why_away
from .usecases import Usecases
from .vault import Vault, check_keys, rotate_keys

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

__all__ = ["POSTGRESQL", "Backend", "BackendSettings", "migrate", "open_backend", "open_offline", "rotate"]

POSTGRESQL = (
    "Nothing can be read or changed; instances run on. Start PostgreSQL, or look at DATABASE_URL and at the "
    "network; the service goes on by itself."
)
_NATS = (
    "Changes are kept, and reach instances when it is back. Start NATS with JetStream, or look at NATS_URL "
    "and at the network; the service goes on by itself."
)


class BackendSettings(Struct, frozen=True, kw_only=True):
    """What the backend needs to know. Its `repr` shows no secret."""

    database_url: str
    nats_url: str = "nats://127.0.0.1:4222"
    keys: tuple[str, ...]
    """`MQTT_PASSWORD_ENCRYPTION_KEY`, split at the commas: the first encrypts, all decrypt."""
    subjects: Subjects = Subjects()
    pool_size: int = 10
    """Most connections to PostgreSQL."""
    bucket_replicas: int = 1
    """How many NATS servers hold the bucket."""
    reconcile_seconds: float = 3.0

    def __repr__(self) -> str:
        return "BackendSettings(...)"


class Backend(Struct, frozen=True):
    """The open backend."""

    usecases: Usecases
    background: Background
    store: Store
    link: Link
    publisher: Publisher
    reconciler: Reconciler
    live: Live
    readiness: Readiness

    @property
    def died(self) -> asyncio.Future[None]:
        """Gets the error of the first background task that fails; then the process should end."""
        return self.background.died


async def migrate(database_url: str) -> None:
    """Bring the schema to the newest version; waits for a PostgreSQL that is away, saying so in the log.

    Raises:
        SchemaError: the database is newer than this code.
    """
    await wait_for_database(lambda: asyncio.to_thread(migration.upgrade, database_url))


@asynccontextmanager
async def open_backend(settings: BackendSettings, feed: Feed | None = None) -> AsyncGenerator[Backend]:
    """Migrate, check the keys against what is stored, start publishing and reconciling, telling `feed`.

    Waits for a PostgreSQL that is away; NATS may come later.

    Raises:
        SchemaError: the database is newer than this code.
        InvalidKeyError, WrongKeyError: `MQTT_PASSWORD_ENCRYPTION_KEY` does not fit; the text names it.
    """
    feed = feed or Feed()
    async with _opened(settings, feed) as backend:
        link, live, subjects = backend.link, backend.live, settings.subjects

        def status(product_id: int, payload: bytes) -> None:
            link.notify(product_id)
            live.status(product_id, payload)

        link.start(
            {
                subjects.status("*"): status,
                subjects.config("*"): backend.publisher.heard,
                subjects.product("*"): live.product,
            },
            feed.reset,
        )
        backend.background.start("live", live.run())
        backend.background.start("reconciler", backend.reconciler.run())
        backend.background.start("readiness", backend.readiness.run())
        yield backend


@asynccontextmanager
async def open_offline(settings: BackendSettings) -> AsyncGenerator[Usecases]:
    """The use cases for a command: what they change is published by the running service, within seconds.

    Raises:
        As `open_backend`.
    """
    async with _opened(settings, Feed()) as backend:
        yield backend.usecases


async def rotate(settings: BackendSettings) -> int:
    """Encrypt everything stored under the first key; answers how many tokens that were. The service may run.

    Raises:
        As `open_backend`.
    """
    vault = Vault(settings.keys)
    await migrate(settings.database_url)
    store = await Store.open(settings.database_url, size=1)
    try:
        return await rotate_keys(store, vault)
    finally:
        await store.close()


@asynccontextmanager
async def _opened(settings: BackendSettings, feed: Feed) -> AsyncGenerator[Backend]:
    vault = Vault(settings.keys)
    await migrate(settings.database_url)
    async with AsyncExitStack() as opened:
        store = await Store.open(settings.database_url, size=settings.pool_size)
        opened.push_async_callback(store.close)
        await check_keys(store, vault)
        background = Background()
        link = Link(settings.nats_url, settings.subjects, background)
        opened.push_async_callback(link.close)
        # Closed first: what runs in it uses all the others.
        opened.push_async_callback(background.close)
        live = Live(store, feed)
        publisher = Publisher(
            link, store, vault, background, replicas=settings.bucket_replicas, on_change=live.changed
        )
        usecases = Usecases(store, link, publisher, vault)
        reconciler = Reconciler(store, link, publisher, usecases, interval_seconds=settings.reconcile_seconds)
        postgresql, nats = Probe(store.ping), Probe(publisher.bucket_state)
        opened.push_async_callback(postgresql.close)
        opened.push_async_callback(nats.close)
        readiness = Readiness(
            {
                "postgresql": Dependency(lambda: postgresql.fault(why_away), POSTGRESQL),
                "nats": Dependency(lambda: nats.fault(why_silent), _NATS),
            }
        )
        yield Backend(usecases, background, store, link, publisher, reconciler, live, readiness)
