"""What would become of a message: which subscriptions match, which conditions hold, what would be sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import msgspec
from msgspec import structs

from mqtt_shared import conditions, outgoing, topics
from mqtt_shared.templates import secret_names

from .model import MASK, TriedAction, TriedSubscription

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mqtt_shared.event import Event

    from .state import Desired, Item

__all__ = ["LONGEST", "tried"]

LONGEST = 10_000
"""Longer texts are told up to here."""


def tried(wanted: Desired, items: Sequence[tuple[int | None, Item]], event: Event) -> list[TriedSubscription]:
    """What each of the subscriptions, with the id to tell, would do with the event."""
    return [_subscription(wanted, told_id, item, event) for told_id, item in items]


def _subscription(wanted: Desired, told_id: int | None, item: Item, event: Event) -> TriedSubscription:
    topic = topics.fill(item.full_topic(wanted.topics), wanted.variables)
    matches = topics.matches(topic, event.topic)
    event = structs.replace(event, subscription=item.name)
    return TriedSubscription(
        subscription_id=told_id,
        name=item.name,
        topic_filter=topics.shared(topic, wanted.topics.shared_group if wanted.topics.use_shared else None),
        enabled=item.enabled,
        matches=matches,
        actions=[_action(wanted, index, action, event) for index, action in enumerate(item.actions)]
        if matches
        else [],
    )


def _action(wanted: Desired, index: int, action: dict[str, Any], event: Event) -> TriedAction:
    unmet = conditions.unmet(cast("dict[str, Any]", action.get("conditions") or {}), event.payload)
    config: dict[str, Any] | None = None
    sent: dict[str, Any] | None = None
    error: str | None = None
    secrets = dict.fromkeys(secret_names(action.get("config")) & wanted.secrets.keys(), MASK)
    try:
        config = outgoing.rendered(action, event, wanted.variables, secrets)
        if made := outgoing.compose(action["type"], config, event):
            sent = msgspec.to_builtins(made)
    except outgoing.InvalidActionError as failed:
        error = f"{failed} (secrets count as {MASK} here)" if secrets else str(failed)
    return TriedAction(
        index=index,
        type=action["type"],
        condition_holds=not unmet,
        unmet=unmet,
        would_send=None if unmet else _cut(sent),
        config=_cut(config),
        error=_cut(error),
    )


def _cut(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= LONGEST else value[:LONGEST] + "…"
    if isinstance(value, dict):
        return {key: _cut(inner) for key, inner in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_cut(inner) for inner in cast("list[Any]", value)]
    return value
