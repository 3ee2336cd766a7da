"""Dotted paths into JSON values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

__all__ = ["MISSING", "look_up"]

MISSING: Final = object()
"""What a path that leads nowhere gives; null is a value."""


def look_up(value: object, path: str) -> object:
    """The value at `path`: names of objects and indices of arrays between dots. A whole name wins."""
    if (whole := _child(value, path)) is not MISSING:
        return whole
    head, _, rest = path.partition(".")
    below = _child(value, head)
    return below if not rest or below is MISSING else look_up(below, rest)


def _child(value: object, name: str) -> object:
    if isinstance(value, Mapping):
        return cast("Mapping[str, Any]", value).get(name, MISSING)
    if isinstance(value, Sequence) and not isinstance(value, str) and name.isascii() and name.isdigit():
        items = cast("Sequence[Any]", value)
        # More digits than any index has; int() would refuse thousands of them.
        return items[int(name)] if len(name) < 10 and int(name) < len(items) else MISSING
    return MISSING
