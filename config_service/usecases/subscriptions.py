"""The subscriptions of a product."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct, structs

from ..core import rules
from ..core.errors import NameTakenError, NotConfiguredError, NotFoundError
from ..core.state import ConfigRow, Desired, Item, State, SubscriptionRow, subscription_answer
from .base import Base, no_product, number_after, page, sorted_items

if TYPE_CHECKING:
    from ..core.inputs import SubscriptionInput, SubscriptionPatch
    from ..core.model import Change, Page, Subscription, Write

__all__ = ["Subscriptions"]


class _Stored(Struct, frozen=True):
    config: ConfigRow | None
    variables: dict[str, str]
    subscriptions: list[SubscriptionRow]

    def answers(self, *, live: bool) -> list[Subscription]:
        if self.config is None:
            return []
        topics = self.config.topics
        return [subscription_answer(row, topics, self.variables, live=live) for row in self.subscriptions]


class Subscriptions(Base):
    """Use cases of subscriptions."""

    async def list_subscriptions(
        self, product_id: int, limit: int, cursor: str | None, *, live: bool = True
    ) -> Page[Subscription]:
        """One page in order of id; empty without a configuration."""
        after = number_after(cursor, 0)
        stored = await self._store.one("list_subscriptions", _Stored, product_id, after, limit + 1)
        if stored is None:
            raise no_product(product_id)
        found = page(stored.answers(live=live), limit, lambda subscription: subscription.id)
        return structs.replace(found, revision=stored.config.revision if stored.config else None)

    async def get_subscription(
        self, product_id: int, subscription_id: int, *, live: bool = True
    ) -> tuple[Subscription, int]:
        """The subscription, and the revision of the configuration it belongs to."""
        stored = await self._store.one("get_subscription", _Stored, product_id, subscription_id)
        if stored is None:
            raise no_product(product_id)
        if not (stored.config and stored.subscriptions):
            raise _no_subscription(product_id, subscription_id)
        return stored.answers(live=live)[0], stored.config.revision

    async def create_subscription(
        self, product_id: int, new: SubscriptionInput, write: Write
    ) -> Change[Subscription]:
        """Add a subscription.

        Raises:
            NotConfiguredError, NameTakenError, InvalidInputError, RevisionMismatchError.
        """

        def compute(state: State, before: Desired) -> Desired:
            if before.broker is None:
                raise NotConfiguredError(product_id)
            item = rules.new_subscription(state.ids[0], new)
            return _checked(before, (*before.subscriptions, item), item)

        outcome = await self._change(product_id, write, "create_subscription", compute, ids=1)
        return outcome.as_change(outcome.subscription(outcome.state.ids[0]))

    async def update_subscription(
        self, product_id: int, subscription_id: int, patch: SubscriptionPatch, write: Write
    ) -> Change[Subscription]:
        """Change the fields that were sent.

        Raises:
            NotFoundError, NameTakenError, InvalidInputError, RevisionMismatchError.
        """

        def compute(_: State, before: Desired) -> Desired:
            old = _find(before, product_id, subscription_id)
            item = rules.merge_subscription(old, patch)
            items = tuple(item if other is old else other for other in before.subscriptions)
            return _checked(before, items, item)

        outcome = await self._change(product_id, write, "update_subscription", compute)
        return outcome.as_change(outcome.subscription(subscription_id))

    async def delete_subscription(self, product_id: int, subscription_id: int, write: Write) -> Change[None]:
        """Remove it.

        Raises:
            NotFoundError, RevisionMismatchError.
        """

        def compute(_: State, before: Desired) -> Desired:
            gone = _find(before, product_id, subscription_id)
            return structs.replace(
                before, subscriptions=tuple(item for item in before.subscriptions if item is not gone)
            )

        outcome = await self._change(product_id, write, "delete_subscription", compute)
        return outcome.as_change(None)


def _find(wanted: Desired, product_id: int, subscription_id: int) -> Item:
    for item in wanted.subscriptions:
        if item.id == subscription_id:
            return item
    raise _no_subscription(product_id, subscription_id)


def _checked(before: Desired, items: tuple[Item, ...], changed: Item) -> Desired:
    if any(item.name == changed.name and item.id != changed.id for item in items):
        raise NameTakenError(f"another subscription of the product is called {changed.name!r}")
    after = structs.replace(before, subscriptions=sorted_items(items))
    rules.check(after, fields_of=changed.id)
    return after


def _no_subscription(product_id: int, subscription_id: int) -> NotFoundError:
    return NotFoundError(f"product {product_id} has no subscription {subscription_id}")
