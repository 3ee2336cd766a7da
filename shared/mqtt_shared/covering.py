"""Which topic filters cover others, without comparing each with each."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["widest"]


class _Node:
    __slots__ = ("is_end", "levels")

    def __init__(self) -> None:
        self.levels: dict[str, _Node] = {}
        self.is_end = False


def widest(filters: Iterable[str]) -> set[str]:
    """The filters that no other one covers (see `topics.covers`)."""
    found = set(filters)
    root = _tree(each for each in found if "+" in each or "#" in each)
    return {each for each in found if not _is_covered(root, each.split("/"), 0, itself=True)}


def _tree(filters: Iterable[str]) -> _Node:
    root = _Node()
    for each in filters:
        node = root
        for level in each.split("/"):
            node = node.levels.setdefault(level, _Node())
        node.is_end = True
    return root


def _is_covered(node: _Node, levels: Sequence[str], depth: int, *, itself: bool) -> bool:
    """Is there another filter below `node` that covers the rest of `levels`? `itself`: the way to `node` is
    that of the filter in question.
    """
    # 4.7.2: a topic that starts with $ matches no filter that starts with a wildcard.
    wild = depth > 0 or not levels[0].startswith("$")
    if wild and "#" in node.levels and not (itself and levels[depth:] == ["#"]):
        return True
    if depth == len(levels):
        return node.is_end and not itself
    level = levels[depth]
    if (exact := node.levels.get(level)) and _is_covered(exact, levels, depth + 1, itself=itself):
        return True
    if not wild or level in ("+", "#") or (one := node.levels.get("+")) is None:
        return False
    return _is_covered(one, levels, depth + 1, itself=False)
