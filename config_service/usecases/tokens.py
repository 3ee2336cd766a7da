"""Bearer tokens and sessions. Only their hashes are stored."""

from __future__ import annotations

import hashlib
import secrets
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from msgspec import Struct

from ..core.errors import Fault, InvalidInputError, NotFoundError
from ..core.model import ApiToken, Page, Principal, Role
from .base import Base, number_after, page

if TYPE_CHECKING:
    from ..core.inputs import TokenInput
    from ..core.model import Write
    from ..publisher import Link, Publisher
    from ..store import Store
    from ..vault import Vault

__all__ = ["Tokens"]

_CACHE_SECONDS = 5.0
_MOST_CACHED = 10_000


class _Used(Struct, frozen=True):
    name: str
    role: Role
    product_ids: list[int] | None
    expires_at: datetime | None


class Tokens(Base):
    """Use cases of tokens."""

    def __init__(self, store: Store, link: Link, publisher: Publisher, vault: Vault) -> None:
        super().__init__(store, link, publisher, vault)
        # Hash to (good until, who): a token that was deleted elsewhere works a few seconds longer.
        self._cached = dict[bytes, tuple[float, Principal | None]]()

    async def list_tokens(self, limit: int, cursor: str | None) -> Page[ApiToken]:
        """One page in order of id."""
        rows = await self._store.one("list_tokens", list[ApiToken], number_after(cursor, 0), limit + 1)
        return page(rows or [], limit, lambda token: token.id)

    async def create_token(self, new: TokenInput, write: Write) -> tuple[ApiToken, str]:
        """The token's record, and the token itself, which is told this once.

        Raises:
            InvalidInputError: it has expired already, or names products that do not exist.
        """
        await self._check(new)
        token = f"mqtt_{secrets.token_urlsafe(32)}"
        made = await self._store.one(
            "create_token",
            ApiToken,
            new.name,
            _hash(token),
            new.role,
            new.product_ids,
            write.actor,
            new.expires_at,
        )
        assert made
        self._cached.pop(_hash(token), None)
        return made, token

    async def _check(self, new: TokenInput) -> None:
        ids = new.product_ids or []
        missing = await self._store.one("missing_products", list[int], ids) or []
        faults = [
            Fault(
                ["body", "product_ids", ids.index(product_id)], f"there is no product {product_id}", "missing"
            )
            for product_id in missing
        ]
        if new.expires_at and new.expires_at <= datetime.now(UTC):
            faults.append(Fault(["body", "expires_at"], "must be in the future", "expired"))
        if faults:
            raise InvalidInputError(faults)

    async def delete_token(self, token_id: int) -> None:
        """End a token; other replicas may take it for 5 s more."""
        if await self._store.value("delete_token", token_id) is None:
            raise NotFoundError(f"there is no token {token_id}")
        self._cached.clear()

    async def authenticate(self, token: str) -> Principal | None:
        """Who the token stands for; None when it is unknown or has expired. Costs a query every 5 s."""
        return await self._find("use_token", _hash(token))

    async def find_session(self, digest: bytes) -> Principal | None:
        """Who has signed in; None when the session is over. Costs a query every 5 s."""
        return await self._find("use_session", digest)

    async def create_session(self, digest: bytes, token: str | None, seconds: int) -> bool:
        """Sign in with a token (None: `ADMIN_TOKEN`). False when the token is gone meanwhile."""
        of_token = None if token is None else _hash(token)
        return bool(await self._store.value("create_session", digest, of_token, seconds))

    async def delete_session(self, digest: bytes) -> None:
        """Sign out; other replicas may take the cookie for 5 s more."""
        await self._store.value("delete_session", digest)
        self._cached.pop(digest, None)

    async def _find(self, query: str, digest: bytes) -> Principal | None:
        now = time.monotonic()
        cached = self._cached.get(digest)
        if cached and cached[0] > now:
            return cached[1]
        used = await self._store.one(query, _Used, digest)
        principal = Principal(name=used.name, role=used.role, product_ids=used.product_ids) if used else None
        if len(self._cached) >= _MOST_CACHED:
            self._cached.clear()
        self._cached[digest] = (now + _good_for(used), principal)
        return principal


def _good_for(used: _Used | None) -> float:
    if used is None or used.expires_at is None:
        return _CACHE_SECONDS
    return min(_CACHE_SECONDS, (used.expires_at - datetime.now(UTC)).total_seconds())


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest()
