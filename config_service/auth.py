"""Who asks, and what they may do: a bearer token, or the cookie of a browser that has signed in with one."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from .core.model import Principal
from .problem import ForbiddenError, UnauthorizedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from .core.model import Role

__all__ = [
    "ADMINISTRATOR",
    "COOKIE",
    "Authenticator",
    "check_origin",
    "check_product",
    "check_role",
]

ADMINISTRATOR = Principal(name="administrator", role="administrator", product_ids=None)
"""The holder of `ADMIN_TOKEN`."""

COOKIE = "session"
"""Name of the cookie."""

_RANK: dict[Role, int] = {"viewer": 0, "operator": 1, "administrator": 2}
_LONGEST = 1000


class Authenticator:
    """Knows the holder of `ADMIN_TOKEN` by itself and asks `find` for every other token."""

    def __init__(self, admin_token: str) -> None:
        self._admin = _hashed(admin_token)

    async def of_header(self, header: str, find: Callable[[str], Awaitable[Principal | None]]) -> Principal:
        """Who stands behind an `Authorization` header (RFC 6750, 2.1).

        Raises:
            UnauthorizedError: no bearer token, or not a valid one.
        """
        scheme, _, token = header.partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise UnauthorizedError("Send the header Authorization: Bearer <token>", given=False)
        return await self.of_token(token, find)

    async def of_token(self, token: str, find: Callable[[str], Awaitable[Principal | None]]) -> Principal:
        """Who holds the token.

        Raises:
            UnauthorizedError: it is not valid.
        """
        # The hashes have one length, so the time of the comparison tells nothing about the token.
        if hmac.compare_digest(_hashed(token), self._admin):
            return ADMINISTRATOR
        found = await find(token) if len(token) <= _LONGEST and token.isascii() else None
        if found is None:
            raise UnauthorizedError("The token is unknown, has expired or was deleted", given=True)
        return found

    async def of_cookie(self, cookie: str, find: Callable[[bytes], Awaitable[Principal | None]]) -> Principal:
        """Who has signed in and got the cookie.

        Raises:
            UnauthorizedError: the session is over.
        """
        found = await find(self.session_hash(cookie)) if len(cookie) <= _LONGEST else None
        if found is None:
            raise UnauthorizedError("The session is over: sign in again", given=True)
        return found

    def session_hash(self, cookie: str) -> bytes:
        """What is stored of a session. Another `ADMIN_TOKEN` makes another one: it ends all sessions."""
        return hmac.digest(self._admin, cookie.encode(errors="surrogateescape"), "sha256")


def check_origin(headers: Mapping[str, str], host: str, *, strict: bool) -> None:
    """Does a request that changes something come from a page of this service, not of another site?

    strict: a browser tells where a request comes from, so one that does not tell is refused.

    Raises:
        ForbiddenError: it comes from elsewhere.
    """
    site, origin = headers.get("Sec-Fetch-Site"), headers.get("Origin")
    if site is not None:
        same = site in ("same-origin", "none")
    elif origin is not None:
        same = urlsplit(origin).netloc.lower() == host.lower()
    else:
        same = not strict
    if not same:
        raise ForbiddenError("The request does not come from a page of this service")


def _hashed(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogateescape")).digest()


def check_role(principal: Principal, least: Role, *, all_products: bool) -> None:
    """Raises ForbiddenError when the role is too low, or the token is limited to some products."""
    if _RANK[principal.role] < _RANK[least]:
        raise ForbiddenError(f"This needs the role {least}; the token has the role {principal.role}")
    if all_products and principal.product_ids is not None:
        raise ForbiddenError("This needs a token for all products; the token is limited to some")


def check_product(principal: Principal, product_id: int) -> None:
    """Raises ForbiddenError when the token is limited to other products."""
    if principal.product_ids is not None and product_id not in principal.product_ids:
        raise ForbiddenError(f"The token is not for product {product_id}")
