"""The named secrets of a product, which its actions refer to as `secrets.<name>`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import structs

from ..core.errors import Fault, InvalidInputError, NotFoundError, SecretInUseError, UnavailableError
from ..core.model import Change, MissingSecret, Page, Secret, Write
from ..core.references import users
from ..core.state import Desired, NamedSecret, State, secret_answer
from ..store import MovedError
from ..vault import named_secret
from .base import Base, Outcome, page, secret_changes

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..core.inputs import SecretInput

__all__ = ["Secrets"]

_ATTEMPTS = 10
_MOST = 100


class Secrets(Base):
    """Use cases of named secrets. No value ever comes back out."""

    async def list_secrets(
        self, product_id: int, limit: int, cursor: str | None
    ) -> tuple[Page[Secret], list[MissingSecret]]:
        """One page in order of name, and all that actions refer to and that are not stored."""
        wanted = (await self._state(product_id, Write(actor="list"))).desired()
        used_by = users(wanted.subscriptions)
        found = [
            secret_answer(name, secret, used_by.get(name, []))
            for name, secret in sorted(wanted.secrets.items())
            if name > (cursor or "")
        ]
        missing = [
            MissingSecret(name=name, used_by=names)
            for name, names in sorted(used_by.items())
            if name not in wanted.secrets
        ]
        return page(found[: limit + 1], limit, lambda secret: secret.name), missing

    async def put_secret(self, product_id: int, name: str, new: SecretInput, write: Write) -> Change[Secret]:
        """Create a secret or change its value: a new revision, where the product has a configuration.

        Raises:
            InvalidInputError: the product has too many already. RevisionMismatchError.
        """

        def compute(state: State, before: Desired) -> Desired:
            old = before.secrets.get(name)
            if old is None and len(before.secrets) >= _MOST:
                msg = f"a product has at most {_MOST} secrets: delete one that is not in use"
                raise InvalidInputError([Fault(["path", "name"], msg, "too_many")])
            stored = old.token if old else None
            token = self._token(product_id, named_secret(name), stored, new.value)
            if token is None or token == stored:
                return before
            made = NamedSecret(
                token=token, created_at=old.created_at if old else state.now, updated_at=state.now
            )
            return structs.replace(before, secrets=before.secrets | {name: made})

        outcome = await self._change_secrets(product_id, write, "put_secret", compute)
        after = outcome.after
        return outcome.as_change(
            secret_answer(name, after.secrets[name], users(after.subscriptions).get(name, []))
        )

    async def delete_secret(self, product_id: int, name: str, write: Write) -> Change[None]:
        """Remove a secret.

        Raises:
            NotFoundError, RevisionMismatchError.
            SecretInUseError: actions refer to it, and would fail without.
        """

        def compute(_: State, before: Desired) -> Desired:
            if name not in before.secrets:
                raise NotFoundError(f"product {product_id} has no secret {name}")
            if used_by := users(before.subscriptions).get(name):
                raise SecretInUseError(name, used_by)
            kept = {other: secret for other, secret in before.secrets.items() if other != name}
            return structs.replace(before, secrets=kept)

        return (await self._change_secrets(product_id, write, "delete_secret", compute)).as_change(None)

    async def _change_secrets(
        self, product_id: int, write: Write, action: str, compute: Callable[[State, Desired], Desired]
    ) -> Outcome:
        def compute_configured(state: State, before: Desired) -> Desired:
            if before.broker is None:
                raise MovedError
            return compute(state, before)

        for _ in range(_ATTEMPTS):
            try:
                state = await self._state(product_id, write)
                if state.config:
                    return await self._change(product_id, write, action, compute_configured)
                return await self._change_unconfigured(state, write, compute)
            except MovedError:
                continue
        raise UnavailableError("the product (others keep changing it)")

    async def _change_unconfigured(
        self, state: State, write: Write, compute: Callable[[State, Desired], Desired]
    ) -> Outcome:
        before = state.desired()
        after = compute(state, before)
        if after != before and not write.dry_run:
            put, removed = secret_changes(before, after)
            saved = await self._store.value(
                "save_unconfigured_secrets",
                state.product.id,
                msgspec.json.encode(put).decode(),
                removed,
                state.now,
            )
            if saved is None:
                raise MovedError
            # A configuration that is created at this moment may have been read without the change.
            self._publisher.wake(state.product.id)
            await self._tell(state.product.id, state.product.name, "updated")
        return self._outcome(state, before, after, saved=None)
