"""PostgreSQL: the only module here that speaks asyncpg.

Queries stand in `sql/*.sql`. Those that read answer one JSON document, which is decoded into the struct that
the caller names: typed, and faster than records with nested values.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager
from importlib import resources
from typing import TYPE_CHECKING, Any, TypeVar, cast

import asyncpg
import msgspec

from mqtt_shared.logs import get_logger

from .core.errors import Fault, InvalidInputError, NameTakenError, NotFoundError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator

__all__ = ["MovedError", "Store", "Transaction", "is_away", "queries", "wait_for_database", "why_away"]

log = get_logger(__name__)

T = TypeVar("T")
_asyncpg: Any = asyncpg  # partly untyped
_HEAD = re.compile(r"^-- (\w+) --$", re.MULTILINE)
_RETRY_SECONDS = 0.5
# asyncpg then asks the server to cancel and waits as long again: a frozen server costs twice this.
_COMMAND_SECONDS = 5.0


class MovedError(Exception):
    """Another writer was first: read again."""


def queries() -> dict[str, str]:
    """All queries by name."""
    files = sorted(resources.files(f"{__package__}.sql").iterdir(), key=lambda file: file.name)
    return dict(_split("".join(file.read_text() for file in files if file.name.endswith(".sql"))))


def _split(text: str) -> Iterator[tuple[str, str]]:
    parts = _HEAD.split(text)
    for name, body in zip(parts[1::2], parts[2::2], strict=True):
        yield name, body.strip().removesuffix(";")


class Store:
    """A pool of connections. Every method raises UnavailableError while PostgreSQL is away.

    The pool recovers by itself: a broken connection is replaced by the next one that is taken.
    """

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self._queries = queries()
        self._decoders = dict[Any, msgspec.json.Decoder[Any]]()

    @classmethod
    async def open(cls, database_url: str, *, size: int = 10) -> Store:
        """Connect; waits for a server that is not there yet and says so in the log."""
        return cls(await wait_for_database(lambda: _pool(database_url, size)))

    async def close(self) -> None:
        """Wait a moment for queries under way, then end the connections."""
        try:
            await asyncio.wait_for(self._pool.close(), 5)
        except TimeoutError:
            self._pool.terminate()

    async def one(self, name: str, kind: type[T], *arguments: object) -> T | None:
        """The JSON document that the query answers, as a `kind`; None when there is no row."""
        return self._decoded(await self.value(name, *arguments), kind)

    async def value(self, name: str, *arguments: object) -> Any:
        """The first column of the query's first row; None when there is no row."""
        try:
            return await self._pool.fetchval(self._queries[name], *arguments)
        except Exception as error:
            if (known := _translated(error)) is error:
                raise
            raise known from error

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[Transaction]:
        """Several statements that hold together."""
        try:
            async with self._pool.acquire() as connection, connection.transaction():
                yield Transaction(connection, self._queries, self._decoded)
        except Exception as error:
            if (known := _translated(error)) is error:
                raise
            raise known from error

    async def ping(self) -> None:
        """Is PostgreSQL there? Takes long to tell that it is frozen: see `Probe`."""
        await self.value("ping")

    def _decoded(self, text: Any, kind: type[T]) -> T | None:
        if text is None:
            return None
        decoder = self._decoders.get(kind)
        if decoder is None:
            decoder = self._decoders[kind] = msgspec.json.Decoder(kind)
        return cast("T", decoder.decode(text))


class Transaction:
    """Queries on one connection."""

    def __init__(self, connection: Any, queries: dict[str, str], decode: Callable[[Any, Any], Any]) -> None:
        self._connection = connection
        self._queries = queries
        self._decode = decode

    async def one(self, name: str, kind: type[T], *arguments: object) -> T | None:
        """As `Store.one`."""
        return cast("T | None", self._decode(await self.value(name, *arguments), kind))

    async def value(self, name: str, *arguments: object) -> Any:
        """As `Store.value`."""
        return await self._connection.fetchval(self._queries[name], *arguments)


async def wait_for_database(connect: Callable[[], Awaitable[T]]) -> T:
    """The result of `connect`, tried again while the server is away."""
    said = False
    while True:
        try:
            return await connect()
        except Exception as error:
            if not is_away(error):
                raise
            if not said:
                log.warning(
                    "PostgreSQL is away; trying again until it is there", error=str(error) or repr(error)
                )
            said = True
            await asyncio.sleep(_RETRY_SECONDS)


def is_away(error: BaseException) -> bool:
    """Does the error, or what it came from, say that the server cannot be used now, while later it may?"""
    if isinstance(error, _AWAY):
        return True
    return error.__cause__ is not None and is_away(error.__cause__)


def why_away(error: BaseException) -> str:
    """Why PostgreSQL cannot be used, without names of hosts or users."""
    cause = error.__cause__ or error
    for kind, words in _WORDS.items():
        if isinstance(cause, kind):
            return words
    return f"it refuses: {type(cause).__name__}"


async def _pool(database_url: str, size: int) -> Any:
    async def nothing_to_reset(_: Any) -> None:
        """No query leaves state behind in its session: the round trip of a reset would be for nothing."""

    return await _asyncpg.create_pool(
        database_url,
        min_size=1,
        max_size=size,
        command_timeout=_COMMAND_SECONDS,
        timeout=5,
        reset=nothing_to_reset,
        server_settings={
            "application_name": "config-service",
            "timezone": "UTC",
            # Every query goes by a key: one plan is right for all values, and made once for each connection.
            "plan_cache_mode": "force_generic_plan",
            "jit": "off",
        },
    )


_AWAY = (
    OSError,
    TimeoutError,
    _asyncpg.InterfaceError,
    # asyncpg's own state machine, when the server goes away in the middle of an answer.
    _asyncpg.InternalClientError,
    _asyncpg.CannotConnectNowError,
    _asyncpg.PostgresConnectionError,
    _asyncpg.TooManyConnectionsError,
    _asyncpg.AdminShutdownError,
    _asyncpg.CrashShutdownError,
    _asyncpg.InsufficientResourcesError,
    _asyncpg.ReadOnlySQLTransactionError,
    _asyncpg.IdleInTransactionSessionTimeoutError,
)
_WORDS: dict[type[BaseException], str] = {
    TimeoutError: "it does not answer",
    ConnectionRefusedError: "nothing listens there",
    OSError: "it cannot be reached",
    _asyncpg.InterfaceError: "the connection is lost",
    _asyncpg.PostgresConnectionError: "the connection is lost",
    _asyncpg.CannotConnectNowError: "it is starting or stopping",
    _asyncpg.ReadOnlySQLTransactionError: "it is read-only: a standby",
}
# Another writer was first, whatever the server noticed it by.
_MOVED = (_asyncpg.SerializationError, _asyncpg.DeadlockDetectedError)


def _translated(error: Exception) -> Exception:
    """The error as the rest of the service knows it; anything else is a defect and stays what it is."""
    if isinstance(error, _asyncpg.DataError):
        # An id that no column can hold belongs to nothing.
        return NotFoundError("there is nothing with this id") if "value out of int" in str(error) else error
    if is_away(error):
        return UnavailableError("PostgreSQL")
    if isinstance(error, _MOVED):
        return MovedError()
    if isinstance(error, _asyncpg.UniqueViolationError):
        return _taken(error)
    if isinstance(error, _asyncpg.ForeignKeyViolationError):
        return NotFoundError("the product is gone")
    if isinstance(error, _asyncpg.CheckViolationError):
        # The rules in core/ come first: whoever gets here has found a gap between them and the schema.
        return InvalidInputError(
            [Fault(["body"], f"breaks the database's rule {_rule(error)}", "constraint")]
        )
    return error


def _rule(error: Any) -> str:
    return str(error.constraint_name)


def _taken(error: Any) -> Exception:
    if error.constraint_name == "products_name_key":
        return NameTakenError("another product has this name")
    if error.constraint_name == "mqtt_subscriptions_mqtt_config_id_name_key":
        return NameTakenError("another subscription of the product has this name")
    return MovedError()
