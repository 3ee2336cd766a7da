"""The history of a product's configuration."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct, field, structs

from mqtt_shared import messages

from ..core import rules
from ..core.diff import diff
from ..core.errors import Fault, InvalidInputError, NotFoundError
from ..core.model import Change, MqttConfig, Page, PathChange, Revision
from ..core.state import Desired, Item, State
from ..sealer import opened
from ..vault import BROKER_PASSWORD, CLIENT_KEY
from .base import Base, no_product, number_after, page, sorted_items

if TYPE_CHECKING:
    from ..core.model import Write

__all__ = ["Revisions"]


class _Row(Struct, frozen=True):
    product_id: int
    revision: int
    changed_at: datetime
    changed_by: str
    action: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    password: str | None = None
    client_key: str | None = None


class _Document(Struct, frozen=True):
    broker: messages.Broker
    topics: messages.Topics
    variables: dict[str, str] = field(default_factory=dict[str, str])
    subscriptions: list[Item] = field(default_factory=list[Item])


class Revisions(Base):
    """Use cases of the history."""

    async def list_revisions(self, product_id: int, limit: int, cursor: str | None) -> Page[Revision]:
        """One page, the newest first."""
        below = number_after(cursor, 2**62)
        rows = await self._store.one("list_revisions", list[Revision], product_id, below, limit + 1)
        if rows is None:
            raise no_product(product_id)
        return page(rows, limit, lambda revision: revision.revision)

    async def get_revision(self, product_id: int, number: int) -> Revision:
        """One change."""
        row = await self._revision(product_id, number)
        return Revision(**{name: getattr(row, name) for name in Revision.__struct_fields__})

    async def diff_revisions(self, product_id: int, number: int, against: int) -> list[PathChange]:
        """What differs at `number` from how it was at `against`; 0 is the time before the first revision."""
        after = await self._revision(product_id, number)
        before = await self._revision(product_id, against) if against else None
        return diff(before.after if before else None, after.after)

    async def restore_revision(self, product_id: int, number: int, write: Write) -> Change[MqttConfig]:
        """Make a new revision that configures what `number` did: broker with its secrets, topics, variables,
        subscriptions. Subscriptions keep their id where they still exist.

        Raises:
            NotFoundError, InvalidInputError, RevisionMismatchError.
        """
        row = await self._revision(product_id, number)
        if row.after is None:
            msg = f"revision {number} removed the configuration: use DELETE for that"
            raise InvalidInputError([Fault(["path", "revision"], msg, "removal")])
        old = msgspec.convert(row.after, _Document)
        secrets = opened(self._vault, product_id, Desired(password=row.password, client_key=row.client_key))

        def compute(state: State, before: Desired) -> Desired:
            after = structs.replace(
                before,
                broker=old.broker,
                topics=old.topics,
                variables=old.variables,
                password=self._token(product_id, BROKER_PASSWORD, before.password, secrets.password),
                client_key=self._token(product_id, CLIENT_KEY, before.client_key, secrets.client_key),
                subscriptions=_restored(old.subscriptions, before, state.ids),
            )
            rules.check(after)
            return after

        ids = len(old.subscriptions)
        outcome = await self._change(product_id, write, "restore", compute, ids=ids)
        return outcome.as_change(outcome.config())

    async def _revision(self, product_id: int, number: int) -> _Row:
        row = await self._store.one("get_revision", _Row, product_id, number)
        if row is None:
            raise NotFoundError(f"product {product_id} has no revision {number}")
        return row


def _restored(wanted: list[Item], before: Desired, fresh: list[int]) -> tuple[Item, ...]:
    ids = {item.id for item in before.subscriptions}
    taken = {item.id for item in wanted} & ids
    # One that was removed and made again under its name goes on counting where it is.
    by_name = {item.name: item.id for item in before.subscriptions if item.id not in taken}
    items = [
        item if item.id in taken else structs.replace(item, id=by_name.get(item.name, spare))
        for item, spare in zip(wanted, fresh, strict=True)
    ]
    return sorted_items(items)
