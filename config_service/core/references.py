"""The named secrets that the actions of a configuration refer to. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mqtt_shared.templates import secret_names

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .state import Desired, Item

__all__ = ["references", "used_secrets", "users"]


def references(items: Sequence[Item]) -> Iterator[tuple[Item, int, str]]:
    """Each reference: the subscription, the index of the action, the name of the secret."""
    for item in items:
        for index, action in enumerate(item.actions):
            for name in sorted(secret_names(action.get("config"))):
                yield item, index, name


def users(items: Sequence[Item]) -> dict[str, list[str]]:
    """By secret: the names of the subscriptions whose actions refer to it."""
    found: dict[str, dict[str, None]] = {}
    for item, _, name in references(items):
        found.setdefault(name, {})[item.name] = None
    return {name: list(names) for name, names in found.items()}


def used_secrets(wanted: Desired) -> dict[str, str]:
    """The tokens at rest of the secrets that there are and that some action refers to, by name."""
    if not wanted.secrets:
        return {}
    names = {name for _, _, name in references(wanted.subscriptions)}
    return {name: secret.token for name, secret in wanted.secrets.items() if name in names}
