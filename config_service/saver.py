"""The one statement that changes configurations; what is written at the same moment goes in one commit."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from .core.errors import UnavailableError
from .core.state import Item, Saved
from .grouping import Grouping
from .store import MovedError

if TYPE_CHECKING:
    import asyncio

    from .store import Store

__all__ = ["PutSecret", "Save", "Saver"]

# The second one goes out while the first one waits for the disk.
_AT_ONCE = 2


class PutSecret(Struct, frozen=True, kw_only=True):
    """A named secret to be stored: its token at rest, and since when it has this value."""

    name: str
    token: str
    updated_at: datetime


class Save(Struct, frozen=True, kw_only=True):
    """A change of one product: what was read, and what is to be there."""

    product_id: int
    revision: int
    """That was read; 0 when there never was one."""
    updated_at: datetime | None
    """That was read; null without a configuration."""
    key_id: str
    previous_key_id: str | None
    new: bool
    config: dict[str, Any]
    """The columns."""
    secrets: list[str]
    """The columns of secrets that change."""
    removed: list[int]
    changed: list[Item]
    added: list[Item]
    variables: dict[str, str] | None = None
    """Null, like `name` and `description`: unchanged."""
    name: str | None = None
    description: str | None = None
    put_secrets: list[PutSecret]
    removed_secrets: list[str]
    """Names."""
    actor: str
    action: str
    before: msgspec.Raw
    after: msgspec.Raw
    digest: str


class Saver:
    """Makes changes of different products in one statement, where they come at the same moment."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._group: Grouping[Save, Saved | None] = Grouping("save", self._save, at_once=_AT_ONCE)

    def save(self, change: Save) -> asyncio.Future[Saved | None]:
        """Begin to make the change; None when the product is not what was read any more.

        Raises (the future):
            UnavailableError: without PostgreSQL. The change may have been made all the same.
        """
        return self._group(change)

    async def _save(self, changes: list[Save]) -> list[Saved | Exception | None]:
        try:
            return list(await self._together(changes))
        except UnavailableError:
            raise
        except Exception as error:
            if len(changes) == 1:
                return [None if isinstance(error, MovedError) else error]
        # One of them failed, and with it the statement: each on its own, so that it fails alone.
        return [result for change in changes for result in await self._save([change])]

    async def _together(self, changes: list[Save]) -> list[Saved | None]:
        documents = [_encode(change).decode() for change in changes]
        saved = await self._store.one("save", list[Saved], documents) or []
        by_product = {one.product_id: one for one in saved}
        return [by_product.get(change.product_id) for change in changes]


_encode = msgspec.json.Encoder().encode
