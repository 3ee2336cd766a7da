"""What instances do: status, instances, rollout, commands, heartbeats over HTTP."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct

from mqtt_shared import heartbeats, messages
from mqtt_shared.logs import get_logger

from ..core.errors import Fault, InvalidInputError, UnavailableError
from ..core.model import Instance, InstanceProgress, Page, RejectionInfo, Rollout
from ..core.validation import MAX_FAULTS
from .base import Base, no_product, page

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Runtime"]

log = get_logger(__name__)

_REPLY_SECONDS = 2.0
# Also while no status message comes, because the collector is away or an instance goes stale.
_LOOK_SECONDS = 0.5


class _Status(Struct, frozen=True):
    product_id: int
    status: messages.ProductStatus | None


class _InstanceRow(Struct, frozen=True):
    instance_id: str
    seen_as: Literal["live", "stale", "stopped"]
    boot_id: str
    started_at: datetime
    first_seen_at: datetime
    last_heartbeat_at: datetime
    interval_seconds: float
    version: str
    host: str
    connected: bool
    connected_since: datetime | None
    client_id: str | None
    broker_info: dict[str, Any] | None
    connection_error: str | None
    applied_revision: int | None
    rejected_revision: int | None
    rejected_error: str | None
    subscribed_topics_count: int
    messages_received: int
    actions_executed: int
    actions_failed: int
    last_message_at: datetime | None
    action_types: list[str]
    key_id: str | None


class _Progress(Struct, frozen=True):
    instance_id: str
    applied_revision: int | None
    applied_digest: str | None
    rejected_revision: int | None
    rejected_error: str | None


class _Rollout(Struct, frozen=True):
    product_id: int
    desired_revision: int
    published_revision: int
    digest: str | None
    instances: list[_Progress]


class Runtime(Base):
    """Use cases around running instances."""

    async def get_status(self, product_id: int) -> messages.ProductStatus:
        """As the collector wrote it; fields are null until the first heartbeat."""
        found = await self._store.one("get_status", _Status, product_id)
        if found is None:
            raise no_product(product_id)
        return found.status or messages.ProductStatus(product_id=product_id)

    async def list_instances(self, product_id: int, limit: int, cursor: str | None) -> Page[Instance]:
        """One page in order of `instance_id`."""
        after = cursor or ""
        rows = await self._store.one("list_instances", list[_InstanceRow], product_id, after, limit + 1)
        if rows is None:
            raise no_product(product_id)
        return page([_instance(row) for row in rows], limit, lambda instance: instance.instance_id)

    async def get_rollout(self, product_id: int) -> Rollout:
        """The desired revision, and how far each live instance is with it."""
        return _rollout(await self._rollout(product_id))

    async def wait_for_rollout(self, product_id: int, revision: int, seconds: float) -> Rollout:
        """The rollout as soon as every live instance has applied or rejected `revision` or a newer one.

        At the latest after `seconds`.
        """
        deadline = asyncio.get_running_loop().time() + seconds
        with self._link.watch(product_id) as changed:
            while True:
                changed.clear()
                found = await self._rollout(product_id)
                left = deadline - asyncio.get_running_loop().time()
                if left <= 0 or _has_arrived(found, revision):
                    return _rollout(found)
                try:
                    async with asyncio.timeout(min(left, _LOOK_SECONDS)):
                        await changed.wait()
                except TimeoutError:
                    continue

    async def _rollout(self, product_id: int) -> _Rollout:
        found = await self._store.one("get_rollout", _Rollout, product_id)
        if found is None:
            raise no_product(product_id)
        return found

    async def reconnect(self, product_id: int, actor: str) -> int:
        """Make the running instances reconnect; how many of them have accepted.

        Raises:
            UnavailableError: NATS is away.
        """
        live = await self._store.one("live_instances", list[str], product_id)
        if live is None:
            raise no_product(product_id)
        log.info("reconnect", product_id=product_id, by=actor)
        replies = await self._link.command(product_id, messages.Reconnect(), set(live), _REPLY_SECONDS)
        return sum(reply.accepted for reply in replies.values())

    async def report_heartbeat(self, product_id: int, heartbeat: messages.Heartbeat) -> None:
        """Pass a heartbeat on to the collector, the same way as any other.

        Raises:
            InvalidInputError: it is another product's, or cannot be stored. UnavailableError: NATS is away.
        """
        if heartbeat.product_id != product_id:
            msg = f"must be the product of the URL, {product_id}"
            raise InvalidInputError([Fault(["body", "product_id"], msg, "mismatch")])
        if faults := [
            Fault(["body", *loc], msg, "not_storable") for loc, msg in heartbeats.faults(heartbeat)
        ]:
            raise InvalidInputError(faults[:MAX_FAULTS])
        if not await self._store.value("product_exists", product_id):
            raise no_product(product_id)
        subject = self._link.subjects.heartbeat(product_id, heartbeat.instance_id, heartbeat.boot_id)
        await self._link.publish(subject, messages.encode(heartbeat))

    async def check_ready(self) -> dict[str, str]:
        """What is down, and what that means; empty when all is well."""
        down = dict[str, str]()
        try:
            await self._store.ping()
        except UnavailableError:
            down["postgresql"] = "away: nothing can be read or changed"
        if not self._link.is_up:
            down["nats"] = "away: changes are kept and reach instances when it is back"
        return down


def _instance(row: _InstanceRow) -> Instance:
    rejected = None
    if row.rejected_revision is not None:
        rejected = RejectionInfo(revision=row.rejected_revision, error=row.rejected_error or "")
    same = {name: getattr(row, name) for name in Instance.__struct_fields__ if hasattr(row, name)}
    return Instance(state=row.seen_as, rejected=rejected, **same)


def _rollout(found: _Rollout) -> Rollout:
    progress = [_progress(instance, found) for instance in found.instances]
    counts = {state: _count(progress, state) for state in ("applied", "rejected", "pending", "drifted")}
    return Rollout(
        product_id=found.product_id,
        desired_revision=found.desired_revision,
        published_revision=found.published_revision,
        total=len(progress),
        **counts,
        complete=_is_delivered(found, found.desired_revision)
        and not (counts["pending"] or counts["drifted"]),
        instances=progress,
    )


def _is_delivered(found: _Rollout, revision: int) -> bool:
    """Without a live instance to tell, the bucket must say that the revision is where they will look."""
    return bool(found.instances) or found.published_revision >= revision


def _has_arrived(found: _Rollout, revision: int) -> bool:
    return _is_delivered(found, revision) and all(_is_settled(one, revision) for one in found.instances)


def _count(progress: Sequence[InstanceProgress], state: str) -> int:
    return sum(instance.state == state for instance in progress)


def _progress(instance: _Progress, rollout: _Rollout) -> InstanceProgress:
    return InstanceProgress(
        instance_id=instance.instance_id,
        state=_state(instance, rollout),
        applied_revision=instance.applied_revision,
        error=instance.rejected_error if instance.rejected_revision == rollout.desired_revision else None,
    )


def _state(instance: _Progress, rollout: _Rollout) -> Literal["applied", "rejected", "pending", "drifted"]:
    desired = rollout.desired_revision
    if instance.rejected_revision == desired and instance.applied_revision != desired:
        return "rejected"
    if (instance.applied_revision or 0) < desired:
        return "pending"
    # Never configured: whatever an instance runs on is its own.
    if desired == 0:
        return "applied"
    same = instance.applied_revision == desired and instance.applied_digest in (None, rollout.digest)
    return "applied" if same else "drifted"


def _is_settled(instance: _Progress, revision: int) -> bool:
    return max(instance.applied_revision or 0, instance.rejected_revision or 0) >= revision
