"""The differences between two configurations of the history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from .model import PathChange

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["diff"]

_ABSENT = object()


def diff(before: dict[str, Any] | None, after: dict[str, Any] | None) -> list[PathChange]:
    """What changed, by path. A subscription is known by its id; its path has the newer name."""
    return list(_changes([], _keyed(before), _keyed(after)))


def _keyed(document: dict[str, Any] | None) -> dict[str, Any]:
    if document is None:
        return {}
    items = cast("list[dict[str, Any]]", document.get("subscriptions", []))
    return {**document, "subscriptions": {item["id"]: item for item in items}}


def _changes(path: list[str | int], before: Any, after: Any) -> Iterator[PathChange]:
    if before == after:
        return
    if isinstance(before, dict) and isinstance(after, dict):
        yield from _inside(path, cast("dict[Any, Any]", before), cast("dict[Any, Any]", after))
    else:
        yield PathChange(path=path, before=_shown(before), after=_shown(after))


def _inside(path: list[str | int], before: dict[Any, Any], after: dict[Any, Any]) -> Iterator[PathChange]:
    for key in [*before, *(key for key in after if key not in before)]:
        old, new = before.get(key, _ABSENT), after.get(key, _ABSENT)
        named = cast("dict[str, Any]", new if new is not _ABSENT else old)
        step: str | int = named["name"] if path == ["subscriptions"] else key
        yield from _changes([*path, step], old, new)


def _shown(value: Any) -> Any:
    return None if value is _ABSENT else value
