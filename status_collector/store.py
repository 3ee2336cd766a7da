"""PostgreSQL: the only module of the collector that knows asyncpg."""

from __future__ import annotations

import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

import asyncpg
from msgspec import structs

from mqtt_shared.messages import InstanceCounts, SubscriptionTotals

from . import sql
from .cache import Known
from .core.check import canonical
from .core.history import buckets
from .core.liveness import MISSED_INTERVALS
from .core.model import (
    BootKey,
    Change,
    Counters,
    Desired,
    Instance,
    InstanceKey,
    Live,
    Status,
    StoredBoot,
    Total,
)
from .core.tally import NOTHING, dump, load
from .errors import RefusedError, StoreError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
    from datetime import datetime

    from .core.history import Minute
    from .core.model import Happened, Heard

__all__ = ["Store", "Transaction"]

_FLUSH = sql.load("flush")
_SWEEP = sql.load("sweep")
_LOCK_TIMEOUT = "500ms"
_COMMAND_TIMEOUT_SECONDS = 15
_ROLL_UP_SECONDS = 600
_COUNTED = ("messages_received", "actions_executed", "actions_failed", "last_message_at")
# asyncpg is partly untyped.
_asyncpg: Any = asyncpg
_MISSING = (
    _asyncpg.UndefinedTableError,
    _asyncpg.UndefinedColumnError,
    _asyncpg.UndefinedFunctionError,
)
_AWAY = (
    OSError,
    TimeoutError,
    _asyncpg.InterfaceError,
    _asyncpg.PostgresError,
)


class Store:
    """A pool of connections; the server may be away at any time, also when this is made."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    @classmethod
    @asynccontextmanager
    async def open(cls, database_url: str) -> AsyncGenerator[Store]:
        """Make the pool; connects at first use."""
        pool = _asyncpg.create_pool(
            database_url,
            min_size=0,
            max_size=4,
            command_timeout=_COMMAND_TIMEOUT_SECONDS,
            timeout=5,
            server_settings={
                "application_name": "status-collector",
                "timezone": "UTC",
                # Always by the keys in the arrays, however many: never by reading all instances.
                "plan_cache_mode": "force_generic_plan",
            },
        )
        async with pool:
            yield cls(pool)

    async def ping(self) -> None:
        """Is PostgreSQL there? Takes long to tell that it is frozen: see `Probe`.

        Raises:
            UnavailableError: no.
        """
        with translated():
            await self._pool.fetchval(_FLUSH["clock"])

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[Transaction]:
        """One transaction: committed when the block ends well, else rolled back.

        Raises:
            UnavailableError, RefusedError: nothing was stored. If the connection broke during the commit,
                all of it may be stored: doing the same once more is harmless.
        """
        with translated():
            async with self._pool.acquire(timeout=5) as connection, connection.transaction():
                await connection.execute(_FLUSH["yield_after"], _LOCK_TIMEOUT)
                yield Transaction(connection)


class translated:  # noqa: N801 - reads as what it does: `with translated():`
    """Errors of the driver become those of `status_collector.errors`."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if error is not None and (known := translate(error)) is not None:
            raise known from error


def translate(error: BaseException) -> StoreError | None:
    """The error to raise instead, or none when this one is a defect of ours or none of PostgreSQL's."""
    if isinstance(error, _MISSING):
        return UnavailableError(f"the schema is missing or too old: run config-service migrate ({error})")
    if isinstance(error, _asyncpg.InsufficientPrivilegeError):
        return UnavailableError(f"the login must be a member of mqtt_status_collector ({error})")
    if isinstance(error, _asyncpg.CheckViolationError) and "no partition" in str(error):
        return UnavailableError(f"the partitions of today are not made yet ({error})")
    if isinstance(error, _asyncpg.ForeignKeyViolationError):
        return UnavailableError("a product was deleted during the flush")
    if isinstance(error, _asyncpg.DataError | _asyncpg.IntegrityConstraintViolationError):
        return RefusedError(str(error))
    if isinstance(error, _asyncpg.InterfaceError) and isinstance(error, ValueError):
        return RefusedError(str(error))  # the driver's own check of a value, before it is sent
    if isinstance(error, _asyncpg.InternalClientError):
        # asyncpg's state machine, between the server's goodbye and the end of the connection. Named, for it
        # may also be a defect of the driver.
        return UnavailableError(f"{type(error).__name__}: {error}")
    if isinstance(error, _AWAY):
        return UnavailableError(str(error) or type(error).__name__)
    return None


class Transaction:
    """Reads and writes of one flush or sweep. Lock first: the lock on a product covers all of it."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.writer = random.getrandbits(62)
        """Stands in the status of each product whose instances it changes."""

    async def clock(self) -> datetime:
        """The moment, on the clock that all collectors share."""
        return cast("datetime", await self._connection.fetchval(_FLUSH["clock"]))

    async def lock(self, product_ids: Iterable[int]) -> dict[int, Status]:
        """Lock the products, and tell the status of each one that exists."""
        ids = sorted(set(product_ids))
        existing = [row[0] for row in await self._rows("existing_products", ids)]
        await self._connection.execute(_FLUSH["add_statuses"], sorted(existing))
        rows = await self._rows("lock_statuses", existing)
        return {row["product_id"]: _status(row) for row in rows}

    async def desired(self, product_ids: Iterable[int]) -> dict[int, Desired]:
        """The newest configuration of each locked product."""
        ids = list(product_ids)
        rows = await self._rows("desired", ids)
        return dict.fromkeys(ids, Desired()) | {row[0]: Desired(*row[1:]) for row in rows}

    async def owners(self, subscriptions: Iterable[int]) -> dict[int, int]:
        """The product of each subscription that exists."""
        rows = await self._rows("owners", list(subscriptions))
        return {row[0]: row[1] for row in rows}

    async def instances(self, keys: Sequence[InstanceKey]) -> dict[InstanceKey, Known]:
        """The stored instances among `keys`."""
        rows = await self._rows("instances", *_columns(keys, 2))
        return {
            InstanceKey(row["product_id"], row["instance_id"]): Known(
                _struct(Instance, row), _stored_boot(row), 0
            )
            for row in rows
        }

    async def boots(self, keys: Sequence[BootKey]) -> dict[BootKey, StoredBoot]:
        """The former boots among `keys`."""
        rows = await self._rows("boots", *_columns(keys, 3)) if keys else []
        return {BootKey(*row[:3]): _stored_boot(row) for row in rows}

    async def live(self, product_ids: Iterable[int]) -> dict[int, Live]:
        """What the status shows of single live instances."""
        rows = await self._rows("live", list(product_ids))
        return {row["product_id"]: _struct(Live, row) for row in rows}

    async def count_instances(self, desired: Mapping[int, Desired]) -> dict[int, InstanceCounts]:
        """The instances of each product that has some, all looked at."""
        columns = _columns([(key, each.revision, each.digest) for key, each in desired.items()], 3)
        rows = await self._rows("count_instances", *columns)
        names = InstanceCounts.__struct_fields__
        return {row["product_id"]: InstanceCounts(**{name: row[name] for name in names}) for row in rows}

    async def write(
        self, changes: Iterable[Change], known: Mapping[InstanceKey, Known]
    ) -> dict[InstanceKey, Known]:
        """Store boots and instances, and tell how the changed instances are stored now.

        known: how they are stored; one that is left out is not there.
        """
        written: dict[InstanceKey, Known] = {}
        boots: list[tuple[Any, ...]] = []
        anew: list[tuple[Any, ...]] = []
        beats: list[tuple[Any, ...]] = []
        counts: list[tuple[Any, ...]] = []
        for change in changes:
            key, after, before = change.key, change.after, known.get(change.key)
            boots += (
                (*key, boot_id, boot.seq, dump(boot.tally))
                for boot_id, boot in change.boots.items()
                if after is None or boot_id != after.boot_id
            )
            if after is None:
                continue
            now = written[key] = _known(change, after, before)
            seq, packed = now.boot.seq, dump(now.boot.tally)
            if change.current is None:
                counts.append((*key, seq, packed, *_counts(after.total)))
            elif change.quiet and before is not None and before.shape == now.shape:
                beat, heard_at = change.current.heartbeat, after.last_heartbeat_at
                beats.append((*key, seq, beat.sent_at, heard_at, packed, *_counts(after.total)))
            else:
                anew.append(_instance_row(change.current, key, after, packed))
        await self._many("write_boots", boots, 5)
        await self._many("write_instances", anew, 28)
        await self._many("beat_instances", beats, 10)
        await self._many("count_for_instances", counts, 8)
        return written

    async def add_to_subscriptions(self, gained: Mapping[int, Counters]) -> dict[int, SubscriptionTotals]:
        """Add to the totals of the subscriptions that still exist, and tell those."""
        if not gained:
            return {}
        await self._connection.fetch(_FLUSH["lock_subscriptions"], list(gained))
        rows = [(key, *_counts(counted)) for key, counted in sorted(gained.items())]
        rows = await self._rows("add_to_subscriptions", *_columns(rows, 5))
        return {
            row[0]: SubscriptionTotals(
                messages_received=row[1],
                actions_executed=row[2],
                actions_failed=row[3],
                last_message_at=row[4],
            )
            for row in rows
        }

    async def write_statuses(self, statuses: Mapping[int, Status], now: datetime) -> None:
        """Store the status of locked products."""
        rows = [(product_id, *_status_row(status)) for product_id, status in sorted(statuses.items())]
        if rows:
            await self._connection.execute(_FLUSH["write_statuses"], *_columns(rows, 24), now, self.writer)

    async def add_activity(self, happened: Iterable[tuple[InstanceKey, Happened]], now: datetime) -> None:
        """Note what happened to instances of locked products."""
        rows = [(*key, each.kind, each.revision, each.detail) for key, each in happened]
        if rows:
            await self._connection.execute(_FLUSH["add_activity"], *_columns(rows, 5), now)

    async def add_to_minutes(self, minutes: Iterable[Minute]) -> None:
        """Add to the minutes of locked products."""
        await self._many("add_to_minutes", [_minute_row(minute) for minute in minutes], 8)

    async def products_with_stale(self, listening_since: datetime) -> list[int]:
        """The products that have an instance to be marked."""
        return await self._ids("products_with_stale", listening_since, float(MISSED_INTERVALS))

    async def mark_stale(
        self, listening_since: datetime, product_ids: Iterable[int]
    ) -> dict[InstanceKey, Instance]:
        """Mark the instances of locked products that were not heard for three intervals."""
        rows = await self._connection.fetch(
            _SWEEP["mark_stale"], listening_since, float(MISSED_INTERVALS), list(product_ids)
        )
        return _instances(rows)

    async def products_with_old(self, silent_seconds: float) -> list[int]:
        """Some of the products that have an instance to be cleaned up."""
        return await self._ids("products_with_old", silent_seconds)

    async def delete_old_instances(
        self, silent_seconds: float, product_ids: Iterable[int]
    ) -> dict[InstanceKey, Instance]:
        """Clean up the instances of locked products that were silent for so long. Totals and boots stay."""
        statement = _SWEEP["delete_old_instances"]
        return _instances(await self._connection.fetch(statement, silent_seconds, list(product_ids)))

    async def delete_old_boots(self, silent_seconds: float) -> None:
        """Forget boots that were silent for so long. Totals stay."""
        await self._connection.execute(_SWEEP["delete_old_boots"], silent_seconds)

    async def moved(self, look_back_seconds: float | None) -> list[int]:
        """Products with a newer revision than the one counted against; none: however long ago it changed."""
        if look_back_seconds is None:
            return await self._ids("moved")
        return await self._ids("moved_lately", look_back_seconds)

    async def keep_partitions(self, table: str, unit: str, keep_seconds: float) -> None:
        """Make the partitions of the days to come, and drop those that are older than `keep_seconds`."""
        await self._connection.execute(_SWEEP["keep_partitions"], table, unit, keep_seconds)

    async def roll_up(self, look_back_seconds: float) -> int:
        """Add up each finished hour that nobody has added up; how many there were."""
        hours = await self._connection.fetch(_SWEEP["claim_hours"], look_back_seconds)
        for row in hours:
            await self._connection.execute(_SWEEP["roll_up"], row[0], timeout=_ROLL_UP_SECONDS)
        await self._connection.execute(_SWEEP["forget_rolled"], look_back_seconds)
        return len(hours)

    async def _ids(self, name: str, *arguments: object) -> list[int]:
        return [row[0] for row in await self._connection.fetch(_SWEEP[name], *arguments)]

    async def _rows(self, name: str, *arguments: object) -> list[Any]:
        return cast("list[Any]", await self._connection.fetch(_FLUSH[name], *arguments))

    async def _many(self, name: str, rows: Sequence[tuple[Any, ...]], width: int) -> None:
        if rows:
            await self._connection.execute(_FLUSH[name], *_columns(rows, width))


def _columns(rows: Sequence[tuple[Any, ...]], width: int) -> list[list[Any]]:
    return [[row[i] for row in rows] for i in range(width)]


def _struct(kind: Any, row: Any) -> Any:
    found = dict(row)
    if found["broker_info"] is not None:
        found["broker_info"] = canonical(found["broker_info"].encode())
    return kind(**{name: found[name] for name in kind.__struct_fields__ if name in found}, **_total(found))


def _total(found: Mapping[str, Any]) -> dict[str, Total]:
    counted = {name: found[name] for name in _COUNTED if name in found}
    return {"total": Total(**counted)} if counted else {}


def _instances(rows: Iterable[Any]) -> dict[InstanceKey, Instance]:
    return {InstanceKey(row["product_id"], row["instance_id"]): _struct(Instance, row) for row in rows}


def _status(row: Any) -> Status:
    counts = {name: row[f"instances_{name}"] for name in InstanceCounts.__struct_fields__}
    return structs.replace(
        _struct(Status, row),
        instances=InstanceCounts(**counts),
        desired=Desired(row["desired_revision"], row["desired_digest"]),
        writer=row["writer"],
    )


def _counts(counted: Counters | Total) -> tuple[int, int, int, datetime | None]:
    return (
        counted.messages_received,
        counted.actions_executed,
        counted.actions_failed,
        counted.last_message_at,
    )


def _status_row(status: Status) -> tuple[Any, ...]:
    return (
        status.state,
        status.connected,
        status.last_connected_at,
        status.last_disconnected_at,
        status.connection_error,
        *_counts(status.total),
        status.subscribed_topics_count,
        status.client_id,
        status.broker_info,
        *structs.astuple(status.instances),
        status.desired.revision,
        status.desired.digest,
        status.settled_at,
    )


def _minute_row(minute: Minute) -> tuple[Any, ...]:
    counted = minute.counted
    return (
        minute.product_id,
        minute.subscription_id,
        minute.at,
        counted.messages_received,
        counted.actions_executed,
        counted.actions_failed,
        "{" + ",".join(map(str, buckets(counted.latency))) + "}",
        minute.connected_instances,
    )


def _stored_boot(row: Any) -> StoredBoot:
    return StoredBoot(row["seq"], load(row["counters"]) if row["counters"] else NOTHING)


def _known(change: Change, after: Instance, before: Known | None) -> Known:
    boot = change.boots.get(after.boot_id)
    if boot is None:
        assert before is not None
        boot = before.boot
    if change.current is None:
        return Known(after, boot, before.shape if before else 0)
    return Known(after, boot, _shape(change.current))


def _shape(heard: Heard) -> int:
    beat = heard.heartbeat
    return hash((beat.started_at, beat.version, beat.host, beat.key_id, heard.action_types))


def _instance_row(heard: Heard, key: InstanceKey, stored: Instance, packed: bytes) -> tuple[Any, ...]:
    beat = heard.heartbeat
    return (
        *key,
        stored.state,
        beat.boot_id,
        beat.seq,
        beat.started_at,
        beat.sent_at,
        stored.last_heartbeat_at,
        beat.interval,
        beat.version,
        beat.host,
        beat.connected,
        beat.connected_since,
        beat.client_id,
        heard.broker_info,
        beat.connection_error,
        beat.applied_revision,
        beat.applied_digest,
        stored.rejected_revision,
        stored.rejected_error,
        beat.subscribed_topics_count,
        heard.action_types,
        beat.key_id,
        packed,
        *_counts(stored.total),
    )
