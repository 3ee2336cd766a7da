"""Does an action apply to a message?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from msgspec import Struct

from .paths import MISSING, look_up

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Unmet", "holds", "unmet"]

ANY = "ANY"


def holds(conditions: Mapping[str, Any], payload: object) -> bool:
    """Every key must match: a dotted path into the payload, a scalar means equal, a list means one of,
    `"ANY"` always matches. No conditions always hold.
    """
    return all(_matches(wanted, look_up(payload, path)) for path, wanted in conditions.items())


class Unmet(Struct, frozen=True):
    """A condition that does not hold; `actual` is null where the path leads nowhere."""

    key: str
    expected: Any
    actual: Any


def unmet(conditions: Mapping[str, Any], payload: object) -> list[Unmet]:
    """The conditions that keep `holds` from being true."""
    found = ((path, wanted, look_up(payload, path)) for path, wanted in conditions.items())
    return [
        Unmet(path, wanted, None if value is MISSING else value)
        for path, wanted, value in found
        if not _matches(wanted, value)
    ]


def _matches(wanted: object, found: object) -> bool:
    if wanted == ANY:
        return True
    if isinstance(wanted, list):
        return any(_matches(choice, found) for choice in cast("list[object]", wanted))
    # JSON tells true from 1, Python does not.
    same_kind = isinstance(wanted, bool) == isinstance(found, bool)
    return found is not MISSING and same_kind and wanted == found
