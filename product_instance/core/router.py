"""From the topic of a message to the subscriptions it belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mqtt_shared.plan import Route

__all__ = ["Router"]

_MOST_CACHED = 4096


class _Node:
    __slots__ = ("levels", "routes")

    def __init__(self) -> None:
        self.levels: dict[str, _Node] = {}
        self.routes: list[tuple[int, Route]] = []


class Router:
    """A tree of topic levels. A message meets each subscription at most once, however many filters match.

    Of several routes of one subscription (while its topic changes, the old and the new) the last one that
    matches is taken. Routes come in the order of the subscriptions.
    """

    def __init__(self, routes: Iterable[Route] = ()) -> None:
        self._root = _Node()
        self._cache: dict[str, tuple[Route, ...]] = {}
        for position, route in enumerate(routes):
            node = self._root
            for level in route.topic.split("/"):
                node = node.levels.setdefault(level, _Node())
            node.routes.append((position, route))

    def match(self, topic: str) -> tuple[Route, ...]:
        """The routes of a message's topic (MQTT 3.1.1 and 5, section 4.7)."""
        found = self._cache.get(topic)
        if found is None:
            if len(self._cache) >= _MOST_CACHED:
                self._cache.clear()
            found = self._cache[topic] = self._search(topic)
        return found

    def _search(self, topic: str) -> tuple[Route, ...]:
        hits = sorted(_walk(self._root, topic.split("/"), 0), key=lambda hit: hit[0])
        return tuple({route.subscription_id: route for _, route in hits}.values())


def _walk(node: _Node, levels: list[str], depth: int) -> Iterator[tuple[int, Route]]:
    # 4.7.2: a topic that starts with $ matches no filter that starts with a wildcard.
    wild = depth > 0 or not levels[0].startswith("$")
    if wild and (rest := node.levels.get("#")):
        yield from rest.routes
    if depth == len(levels):
        yield from node.routes
        return
    if exact := node.levels.get(levels[depth]):
        yield from _walk(exact, levels, depth + 1)
    if wild and (one := node.levels.get("+")):
        yield from _walk(one, levels, depth + 1)
