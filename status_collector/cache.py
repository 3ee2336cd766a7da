"""What is stored of instances, kept in memory so that a flush need not read it.

Write-through, and never believed without proof: each transaction that changes instances of a product leaves a
new `writer` in the row of its status, which is also the lock on them. What is kept of a product counts only
while that row names the transaction that it was kept after. So any number of collectors stay exact; one that
works alone never reads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct, field

from .core.model import Instance, StoredBoot

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Cache", "Known"]


class Known(Struct, frozen=True, gc=False):
    """One row of `mqtt_instances`."""

    instance: Instance
    boot: StoredBoot
    """The current one."""
    shape: int
    """Hash of what is stored beside `instance` and seldom changes; 0: not known."""


class _Product(Struct):
    writer: int
    instances: dict[str, Known] = field(default_factory=dict[str, Known])


class Cache:
    """Keeps at most `capacity` instances."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._products: dict[int, _Product] = {}
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def instances(self, product_id: int, writer: int) -> Mapping[str, Known]:
        """What is kept of a product whose locked row names `writer`."""
        return self._current(product_id, writer).instances

    def committed(
        self, product_id: int, before: int, writer: int, changed: Mapping[str, Known | None]
    ) -> None:
        """A transaction that found `before` has left `writer` and `changed`; none: to be read again."""
        product = self._products.get(product_id)
        if product is None or product.writer != before:
            # Another one has looked since, and knows better.
            self._forget(product_id)
            return
        product.writer = writer
        for name in (name for name, known in changed.items() if known is None):
            if product.instances.pop(name, None) is not None:
                self._size -= 1
        self._put(product, {name: known for name, known in changed.items() if known is not None})

    def _current(self, product_id: int, writer: int) -> _Product:
        product = self._products.get(product_id)
        if product is None or product.writer != writer:
            self._forget(product_id)
            product = self._products[product_id] = _Product(writer)
        return product

    def _put(self, product: _Product, found: Mapping[str, Known]) -> None:
        before = len(product.instances)
        product.instances.update(found)
        self._size += len(product.instances) - before
        if self._size > self._capacity:
            self._products.clear()
            self._size = 0

    def _forget(self, product_id: int) -> None:
        gone = self._products.pop(product_id, None)
        if gone is not None:
            self._size -= len(gone.instances)
