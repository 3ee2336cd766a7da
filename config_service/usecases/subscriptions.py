"""The subscriptions of a product."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct, UnsetType, structs

from mqtt_shared.event import Event, content

from ..core import rules, sample
from ..core.errors import Fault, InvalidInputError, NameTakenError, NotConfiguredError, NotFoundError
from ..core.model import Sample, Write
from ..core.state import ConfigRow, Desired, Item, State, SubscriptionRow, subscription_answer
from .base import Base, no_product, number_after, page, sorted_items

if TYPE_CHECKING:
    from datetime import datetime

    from ..core.inputs import SampleInput, SubscriptionDraft, SubscriptionInput, SubscriptionPatch
    from ..core.model import Change, Page, Subscription

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

    async def try_sample(self, product_id: int, given: SampleInput) -> Sample:
        """What would become of a message; nothing is sent. Drafts take the place of what is stored.

        Raises:
            NotConfiguredError.
            InvalidInputError: a draft breaks a rule, or is for a subscription that is not there.
        """
        state = await self._state(product_id, Write(actor=""))
        wanted = state.desired()
        if wanted.broker is None:
            raise NotConfiguredError(product_id)
        items = _with_drafts(wanted, given.subscriptions)
        event = _event(given, product_id, state.now, wanted.topics.qos, state.revision)
        # Templates may be slow; whoever else asks does not wait for them.
        found = await asyncio.to_thread(sample.tried, wanted, items, event)
        return Sample(event=event, subscriptions=found)

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


def _event(given: SampleInput, product_id: int, at: datetime, qos: int, revision: int) -> Event:
    if isinstance(given.payload_text, UnsetType):
        raw = b"" if isinstance(given.payload, UnsetType) else msgspec.json.encode(given.payload)
    elif isinstance(given.payload, UnsetType):
        raw = given.payload_text.encode()
    else:
        msg = "must not be there beside payload: a message has one of them"
        raise InvalidInputError([Fault(["body", "payload_text"], msg, "conflict")])
    payload, payload_base64 = content(raw)
    return Event(
        product_id=product_id,
        instance_id="sample",
        subscription="",
        topic=given.topic,
        payload=payload,
        payload_base64=payload_base64,
        qos=qos,
        retain=False,
        received_at=at,
        message_id="sample",
        revision=revision,
    )


def _with_drafts(wanted: Desired, drafts: list[SubscriptionDraft]) -> list[tuple[int | None, Item]]:
    """The subscriptions to try, each with the id to tell."""
    items: dict[int, tuple[int | None, Item]] = {item.id: (item.id, item) for item in wanted.subscriptions}
    faults = list[Fault]()
    for index, draft in enumerate(drafts):
        if draft.id is not None and draft.id not in items:
            msg = f"there is no subscription {draft.id}"
            faults.append(Fault(["body", "subscriptions", index, "id"], msg, "missing"))
        key = -1 - index if draft.id is None else draft.id
        items[key] = draft.id, rules.new_subscription(key, draft)
    if faults:
        raise InvalidInputError(faults)
    return list(items.values())


def _checked(before: Desired, items: tuple[Item, ...], changed: Item) -> Desired:
    if any(item.name == changed.name and item.id != changed.id for item in items):
        raise NameTakenError(f"another subscription of the product is called {changed.name!r}")
    after = structs.replace(before, subscriptions=sorted_items(items))
    rules.check(after, fields_of=changed.id)
    return after


def _no_subscription(product_id: int, subscription_id: int) -> NotFoundError:
    return NotFoundError(f"product {product_id} has no subscription {subscription_id}")
