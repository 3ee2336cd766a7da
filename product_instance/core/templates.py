"""Texts with values of the event in them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from .paths import MISSING, look_up

if TYPE_CHECKING:
    from .event import Event

__all__ = ["UnknownValueError", "render"]

_PLACE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z0-9_-]+)*)\}")


class UnknownValueError(ValueError):
    """The template names a value that the event does not have."""


def render(template: str, event: Event) -> str:
    """Put the event's values in place of `{topic}`, `{payload.device.id}`; other braces stay.

    Strings go in as they are, everything else as JSON.

    Raises:
        UnknownValueError: names the place that has no value.
    """
    values = msgspec.to_builtins(event)

    def value(match: re.Match[str]) -> str:
        found = look_up(values, match[1])
        if found is MISSING:
            raise UnknownValueError(f"the event has no value for {match[0]}")
        return found if isinstance(found, str) else msgspec.json.encode(found).decode()

    return _PLACE.sub(value, template)
