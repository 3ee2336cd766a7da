"""How many heartbeats were asked of the stream and have not come yet: it deals no more than that.

A request is over when all it asked for has come, when the stream says so, or some time after it should have
ended: whatever is not known of it then was lost on the way. No I/O.
"""

from __future__ import annotations

from msgspec import Struct

__all__ = ["Credit"]


class _Request(Struct):
    left: int
    until: float


class Credit:
    """The requests that are under way. The stream fills the oldest one first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._requests: dict[str, _Request] = {}
        self._number = 0
        self.left = 0
        """What may still come."""

    def ask(self, room: int, until: float) -> tuple[str, int] | None:
        """Name and size of a request that is due; none while half of what there is room for is on its way.

        Args:
            room: how many can be taken, with those on their way.
            until: when the request should have ended; a monotonic time.
        """
        most = min(room, self._most)
        if most <= 0 or self.left > most // 2:
            return None
        self._number += 1
        name, count = str(self._number), most - self.left
        self._requests[name] = _Request(count, until)
        self.left += count
        return name, count

    def came(self) -> None:
        """One heartbeat."""
        for name, request in self._requests.items():
            self.left -= 1
            request.left -= 1
            if not request.left:
                del self._requests[name]
            return

    def over(self, name: str) -> None:
        """The stream has ended this request."""
        if request := self._requests.pop(name, None):
            self.left -= request.left

    def expire(self, now: float) -> None:
        """Give up the requests that should have ended."""
        for name in [name for name, request in self._requests.items() if request.until <= now]:
            self.over(name)

    def clear(self) -> None:
        """The connection broke, and the stream has forgotten all requests."""
        self._requests.clear()
        self.left = 0
