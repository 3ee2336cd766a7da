"""Products and their keys."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec
from msgspec import UnsetType, structs

from mqtt_shared import sealing
from mqtt_shared.logs import get_logger

from ..core import rules
from ..core.errors import KeyInUseError, NameTakenError, UnavailableError
from ..core.model import Change, Effect, Page, Product
from ..core.state import Desired, ProductRow, State, product_answer
from ..sealer import seal_tombstone
from ..store import MovedError
from ..vault import PRODUCT_KEY
from .base import Base, no_product, number_after, page

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..core.inputs import ProductInput, ProductPatch
    from ..core.model import Write

__all__ = ["Products"]

log = get_logger(__name__)

_ATTEMPTS = 10


class Products(Base):
    """Use cases of products."""

    async def list_products(
        self, limit: int, cursor: str | None, only: Sequence[int] | None = None
    ) -> Page[Product]:
        """One page in order of id; `only` leaves out all other ids."""
        ids = None if only is None else list(only)
        after = number_after(cursor, 0)
        rows = await self._store.one("list_products", list[ProductRow], after, limit + 1, ids)
        return page([product_answer(row) for row in rows or []], limit, lambda product: product.id)

    async def create_product(self, new: ProductInput, write: Write) -> tuple[Product, str]:
        """The product, and its key, which is told this once.

        Raises:
            NameTakenError, InvalidInputError.
        """
        rules.check_variables(new.variables)
        product_id = 0 if write.dry_run else int(await self._store.value("new_product_id"))
        key = sealing.new_key()
        if await self._store.value("product_name_taken", new.name, product_id):
            raise NameTakenError(f"another product is called {new.name!r}")
        token = self._vault.encrypt(key, PRODUCT_KEY, product_id)
        if write.dry_run:
            return product_answer(_unsaved(new, token, sealing.key_id(key))), ""
        row = await self._store.one(
            "create_product",
            ProductRow,
            product_id,
            new.name,
            new.description,
            msgspec.json.encode(new.variables).decode(),
            token,
            sealing.key_id(key),
        )
        assert row
        await self._tell(row.id, row.name, "created")
        return product_answer(row), key

    async def get_product(self, product_id: int) -> Product:
        """The product."""
        row = await self._store.one("get_product", ProductRow, product_id)
        if row is None:
            raise no_product(product_id)
        return product_answer(row)

    async def update_product(self, product_id: int, patch: ProductPatch, write: Write) -> Change[Product]:
        """Changed variables make a new revision of the configuration, if there is one.

        Raises:
            NameTakenError, InvalidInputError, RevisionMismatchError.
        """
        if not isinstance(patch.variables, UnsetType):
            rules.check_variables(patch.variables)
        for _ in range(_ATTEMPTS):
            state = await self._state(product_id, write)
            row = _patched(state.product, patch)
            await self._check_name(row)
            if row == state.product or not state.config:
                if change := await self._update_row(state, row, write):
                    return change
            elif row.variables == state.product.variables:
                if write.dry_run:
                    return _unchanged(state, product_answer(row))
                saved = await self._store.one(
                    "update_product", ProductRow, product_id, row.name, row.description
                )
                await self._tell(row.id, row.name, "updated")
                return _unchanged(state, product_answer(saved or row))
            else:
                return await self._update_configured(product_id, patch, write)
        raise UnavailableError("the product (others keep changing it)")

    async def _check_name(self, row: ProductRow) -> None:
        if await self._store.value("product_name_taken", row.name, row.id):
            raise NameTakenError(f"another product is called {row.name!r}")

    async def _update_row(self, state: State, row: ProductRow, write: Write) -> Change[Product] | None:
        """Without a revision; None when a configuration was created meanwhile."""
        if write.dry_run or row == state.product:
            return _unchanged(state, product_answer(row))
        saved = await self._store.one(
            "update_unconfigured_product",
            ProductRow,
            row.id,
            row.name,
            row.description,
            msgspec.json.encode(row.variables).decode(),
        )
        if saved is None:
            return None
        await self._tell(row.id, row.name, "updated")
        return _unchanged(state, product_answer(saved))

    async def _update_configured(self, product_id: int, patch: ProductPatch, write: Write) -> Change[Product]:
        name, description, variables = patch.name, patch.description, patch.variables

        def compute(_: State, before: Desired) -> Desired:
            if isinstance(variables, UnsetType) or before.broker is None:
                return before
            after = structs.replace(before, variables=variables)
            rules.check(after)
            return after

        rename = (
            None if isinstance(name, UnsetType) else name,
            None if isinstance(description, UnsetType) else description,
        )
        # All of the product is answered, which may have been renamed without a revision.
        outcome = await self._change(product_id, write, "update_product", compute, rename=rename, fresh=True)
        product = product_answer(outcome.now.product)
        if not write.dry_run:
            await self._tell(product.id, product.name, "updated")
        return outcome.as_change(product)

    async def delete_product(self, product_id: int, write: Write) -> Change[None]:
        """With everything below it; running instances stop consuming.

        Raises:
            RevisionMismatchError.
        """
        if write.dry_run:
            return self._removal(await self._state(product_id, write))
        async with self._lock(product_id):
            for _ in range(_ATTEMPTS):
                try:
                    return await self._delete(product_id, write)
                except MovedError:
                    continue
        raise UnavailableError("the product (others keep changing it)")

    async def _delete(self, product_id: int, write: Write) -> Change[None]:
        async with self._store.transaction() as transaction:
            await transaction.value("lock_product", product_id)
            state = self._checked(
                await transaction.one("read_state", State, product_id, 0), product_id, write
            )
            if state.config and not await self._remove(transaction, state, write, "delete_product"):
                raise MovedError
            await transaction.value("delete_product", product_id)
        self._publisher.wake(product_id)
        await self._tell(product_id, state.product.name, "deleted")
        return self._removal(state)

    async def renew_product_key(self, product_id: int, write: Write) -> str:
        """A new key, told this once. The old one stays good until all instances have the new one.

        Raises:
            RevisionMismatchError.
            KeyInUseError: the key before this one is still good, and only two can be.
        """
        for _ in range(_ATTEMPTS):
            state = await self._state(product_id, write)
            if state.product.previous_product_key:
                raise KeyInUseError(product_id)
            key = sealing.new_key()
            if write.dry_run:
                return ""
            old = state.product
            renewed = structs.replace(
                old,
                product_key=self._vault.encrypt(key, PRODUCT_KEY, product_id),
                product_key_id=sealing.key_id(key),
                previous_product_key=old.product_key,
                previous_product_key_id=old.product_key_id,
            )
            if await self._store.value(
                "renew_product_key",
                product_id,
                old.product_key_id,
                renewed.product_key,
                renewed.product_key_id,
                self._resealed(state, renewed, write),
            ):
                log.info("product key renewed", product_id=product_id, by=write.actor)
                self._publisher.wake(product_id)
                await self._tell(product_id, old.name, "updated")
                return key
        raise UnavailableError("the product (others keep changing it)")

    async def end_previous_product_key(self, product_id: int, write: Write) -> None:
        """The previous key opens nothing any more. Does nothing when there is none."""
        for _ in range(_ATTEMPTS):
            state = await self._state(product_id, write)
            old = state.product
            if write.dry_run or old.previous_product_key_id is None:
                return
            ended = structs.replace(old, previous_product_key=None, previous_product_key_id=None)
            snapshot = self._resealed(state, ended, write)
            if await self._store.value(
                "end_previous_product_key", product_id, old.previous_product_key_id, snapshot
            ):
                log.info("previous product key ended", product_id=product_id, by=write.actor)
                self._publisher.wake(product_id)
                await self._tell(product_id, old.name, "updated")
                return

    def _resealed(self, state: State, product: ProductRow, write: Write) -> str | None:
        if state.tombstone is None:
            return None
        revision = state.tombstone.revision
        return seal_tombstone(self._vault, product, revision, at=state.now, by=write.actor)[0]


def _patched(row: ProductRow, patch: ProductPatch) -> ProductRow:
    values = {name: getattr(patch, name) for name in ("name", "description", "variables")}
    return structs.replace(row, **{k: v for k, v in values.items() if not isinstance(v, UnsetType)})


def _unchanged(state: State, product: Product) -> Change[Product]:
    return Change(value=product, revision=state.revision, effect=Effect(live_instances=len(state.live)))


def _unsaved(new: ProductInput, token: str, key_id: str) -> ProductRow:
    now = datetime.now(UTC)
    return ProductRow(
        id=0,
        name=new.name,
        description=new.description,
        variables=new.variables,
        product_key=token,
        product_key_id=key_id,
        created_at=now,
        updated_at=now,
    )
