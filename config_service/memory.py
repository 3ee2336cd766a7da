"""What this process last wrote of each product, so that the next write need not read it again."""

from __future__ import annotations

from msgspec import Struct

from .core.state import Desired, State

__all__ = ["Known", "Memory"]

_MOST_PRODUCTS = 500
_MOST_BYTES = 64_000


class Known(Struct, frozen=True, kw_only=True):
    """A product at one revision."""

    state: State
    desired: Desired
    document: bytes
    """`desired` for the history."""


class Memory:
    """The products that were written last, a bounded number of them; large ones are not kept.

    Nothing may be told from it: another replica may have written since. A write starts from it, which the
    database accepts only where nothing has moved.
    """

    def __init__(self) -> None:
        self._known = dict[int, Known]()

    def take(self, product_id: int) -> Known | None:
        """What is known, once: whoever takes it keeps it again when it has proved right."""
        return self._known.pop(product_id, None)

    def keep(self, known: Known) -> None:
        """Remember a product; the one that was written longest ago is forgotten for it."""
        if len(known.document) > _MOST_BYTES:
            return
        self._known[known.state.product.id] = known
        if len(self._known) > _MOST_PRODUCTS:
            del self._known[next(iter(self._known))]
