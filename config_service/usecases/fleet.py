"""All products at a glance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from mqtt_shared.messages import InstanceCounts

from ..core.model import FleetProduct, Page
from ..core.state import StatusRow
from .base import Base, number_after, page

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Fleet"]

_MINUTES = 30


class _Row(Struct, frozen=True):
    product_id: int
    name: str
    description: str
    configured: bool
    desired_revision: int
    published_revision: int
    status: StatusRow | None
    minutes: dict[int, int]


class Fleet(Base):
    """Use cases of the fleet."""

    async def list_fleet(
        self, limit: int, cursor: str | None, only: Sequence[int] | None = None
    ) -> Page[FleetProduct]:
        """One page in order of id; `only` leaves out all other ids."""
        ids = None if only is None else list(only)
        rows = await self._store.one("list_fleet", list[_Row], number_after(cursor, 0), limit + 1, ids)
        return page([_product(row) for row in rows or []], limit, lambda product: product.product_id)


def _product(row: _Row) -> FleetProduct:
    status = row.status
    state = status.state if status else "no_instances"
    return FleetProduct(
        product_id=row.product_id,
        name=row.name,
        description=row.description,
        configured=row.configured,
        state=state if row.configured else "not_configured",
        connected=status.connected if status else False,
        instances=status.counts() if status else InstanceCounts(),
        desired_revision=row.desired_revision,
        published_revision=row.published_revision,
        messages_received=status.messages_received if status else 0,
        actions_executed=status.actions_executed if status else 0,
        actions_failed=status.actions_failed if status else 0,
        last_message_at=status.last_message_at if status else None,
        connection_error=status.connection_error if status else None,
        updated_at=status.updated_at if status else None,
        recent=[row.minutes.get(ago, 0) for ago in range(_MINUTES, 0, -1)],
    )
