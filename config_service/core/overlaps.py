"""Which topic filters overlap, without comparing each with each."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["overlapping"]


class _Node:
    def __init__(self) -> None:
        self.names: list[str] = []
        self.below: dict[str, _Node] = {}


def overlapping(filters: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Pairs of names whose filters (name, filter) have a topic in common (MQTT 3.1.1, 4.7)."""
    root = _Node()
    for name, topic_filter in filters:
        levels = topic_filter.split("/")
        for other in _found(root, levels, 0):
            yield other, name
        _add(root, levels, name)


def _add(node: _Node, levels: list[str], name: str) -> None:
    for level in levels:
        node = node.below.setdefault(level, _Node())
    node.names.append(name)


def _found(node: _Node, levels: list[str], at: int) -> Iterator[str]:
    # `a/#` also matches `a` (4.7.1.2): a '#' below matches whatever is left of the filter, or nothing.
    if rest := node.below.get("#"):
        yield from rest.names
    if at == len(levels):
        yield from node.names
        return
    level = levels[at]
    if level == "#":
        yield from _all(node)
        return
    for key, child in node.below.items() if level == "+" else _named(node, level):
        if key != "#":
            yield from _found(child, levels, at + 1)


def _named(node: _Node, level: str) -> Iterator[tuple[str, _Node]]:
    for key in (level, "+"):
        if key in node.below:
            yield key, node.below[key]


def _all(node: _Node) -> Iterator[str]:
    yield from node.names
    for key, child in node.below.items():
        if key != "#":  # already found by the caller
            yield from _all_below(child)


def _all_below(node: _Node) -> Iterator[str]:
    yield from node.names
    for child in node.below.values():
        yield from _all_below(child)
