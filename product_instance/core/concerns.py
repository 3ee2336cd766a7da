"""What will not work of the actions of a configuration, told before a message comes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mqtt_shared.templates import faults, secret_names

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from mqtt_shared.plan import Target

__all__ = ["concerns"]


def concerns(target: Target, types: Collection[str], *, has_mail: bool) -> Iterator[str]:
    """One line for each fault. `types`: the action types that can be run here."""
    for route in target.routes.values():
        for index, action in enumerate(route.actions):
            for words in _of(action, types, target.secrets.named, has_mail=has_mail):
                yield f"subscription {route.name}, action {index}: {words}"


def _of(
    action: Mapping[str, Any], types: Collection[str], secrets: Collection[str], *, has_mail: bool
) -> Iterator[str]:
    action_type, config = action.get("type"), action.get("config")
    if action_type not in types:
        yield f"nothing here runs the type {action_type!r}; look at ACTIONS"
    if action_type == "smtp_email" and not has_mail:
        yield "no mail server: set SMTP_URL and SMTP_FROM"
    for place, words in faults(config, "config"):
        yield f"{place}: {words}"
    for name in sorted(secret_names(config) - set(secrets)):
        yield f"the product has no secret {name!r}"
