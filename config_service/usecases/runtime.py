"""What instances do: status, instances, rollout, commands, heartbeats over HTTP."""

from __future__ import annotations

import asyncio
from typing import Any

from msgspec import Struct

from mqtt_shared import heartbeats, messages
from mqtt_shared.logs import get_logger

from ..core.errors import Fault, InvalidInputError, NotFoundError
from ..core.model import Instance, InstanceProgress, Page, Rollout, RolloutCounts
from ..core.state import StatusRow, status_answer
from ..core.validation import MAX_FAULTS
from .base import Base, no_product, page

__all__ = ["FEW", "RolloutRows", "Runtime"]

log = get_logger(__name__)

_REPLY_SECONDS = 2.0
# Also while no status message comes, because the collector is away or an instance goes stale.
_LOOK_SECONDS = 0.5
_LISTED = 200
FEW = 1000
"""So many instances are counted anew for a rollout, which takes about a millisecond."""


class _Status(Struct, frozen=True):
    product_id: int
    status: StatusRow | None


class RolloutRows(RolloutCounts, frozen=True, kw_only=True):
    """A rollout as the database tells it."""

    complete: bool = False
    behind: int
    """How many live instances have not come as far as the revision that was asked for."""
    instances: list[InstanceProgress]

    def counts(self) -> RolloutCounts:
        """Without the instances."""
        return RolloutCounts(**self._fields(RolloutCounts))

    def whole(self) -> Rollout:
        """With the instances."""
        return Rollout(**self._fields(Rollout))

    def has_arrived(self, revision: int) -> bool:
        """Has every live instance come as far as the revision that was asked for?"""
        return self._is_delivered(revision) and not self.behind

    def _fields(self, kind: type[RolloutCounts]) -> dict[str, Any]:
        fields = {name: getattr(self, name) for name in kind.__struct_fields__}
        complete = self._is_delivered(self.desired_revision) and not (self.pending or self.drifted)
        return {**fields, "complete": complete}

    def _is_delivered(self, revision: int) -> bool:
        """Without a live instance to tell, the bucket must say that the revision is where they will look."""
        return bool(self.total) or self.published_revision >= revision


class Runtime(Base):
    """Use cases around running instances."""

    async def get_status(self, product_id: int) -> messages.ProductStatus:
        """As the collector wrote it; fields are null until the first heartbeat."""
        found = await self._store.one("get_status", _Status, product_id)
        if found is None:
            raise no_product(product_id)
        return status_answer(found.status) or messages.ProductStatus(product_id=product_id)

    async def list_instances(self, product_id: int, limit: int, cursor: str | None) -> Page[Instance]:
        """One page in order of `instance_id`."""
        after = cursor or ""
        rows = await self._store.one("list_instances", list[Instance], product_id, after, limit + 1)
        if rows is None:
            raise no_product(product_id)
        return page(rows, limit, lambda instance: instance.instance_id)

    async def get_rollout(self, product_id: int, limit: int = _LISTED) -> Rollout:
        """The desired revision, and how far each live instance is with it; `limit` of them one by one."""
        return (await self._rollout(product_id, 0, limit)).whole()

    async def wait_for_rollout(self, product_id: int, revision: int, seconds: float) -> Rollout:
        """The rollout as soon as every live instance has applied or rejected `revision` or a newer one.

        At the latest after `seconds`.
        """
        deadline = asyncio.get_running_loop().time() + seconds
        with self._link.watch(product_id) as changed:
            while True:
                changed.clear()
                found = await self._rollout(product_id, revision, _LISTED)
                left = deadline - asyncio.get_running_loop().time()
                if left <= 0 or found.has_arrived(revision):
                    return found.whole()
                try:
                    async with asyncio.timeout(min(left, _LOOK_SECONDS)):
                        await changed.wait()
                except TimeoutError:
                    continue

    async def _rollout(self, product_id: int, revision: int, limit: int) -> RolloutRows:
        found = await self._store.one("get_rollout", RolloutRows, product_id, revision, limit, FEW)
        if found is None:
            raise no_product(product_id)
        return found

    async def reconnect(self, product_id: int, actor: str, instance_id: str | None = None) -> int:
        """Make the running instances reconnect, or one of them; how many have accepted.

        Raises:
            NotFoundError: there is no such instance. UnavailableError: NATS is away.
        """
        expected = await self._expected(product_id, instance_id)
        log.info("reconnect", product_id=product_id, instance_id=instance_id, by=actor)
        command = messages.Reconnect(instance_id=instance_id)
        replies = await self._link.command(product_id, command, expected, _REPLY_SECONDS)
        return sum(reply.accepted for reply in replies.values())

    async def _expected(self, product_id: int, instance_id: str | None) -> set[str]:
        """Who is to answer a command."""
        if instance_id is None:
            live = await self._store.one("live_instances", list[str], product_id)
            if live is None:
                raise no_product(product_id)
            return set(live)
        if not await self._store.value("product_exists", product_id):
            raise no_product(product_id)
        if not await self._store.value("instance_exists", product_id, instance_id):
            raise NotFoundError(f"product {product_id} has no instance {instance_id!r}")
        return {instance_id}

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
