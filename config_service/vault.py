"""Secrets at rest, each encrypted with its purpose and product inside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from mqtt_shared.sealing import InvalidKeyError, Keyring, UnsealError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .store import Store

__all__ = [
    "BROKER_PASSWORD",
    "CLIENT_KEY",
    "PRODUCT_KEY",
    "Vault",
    "WrongKeyError",
    "check_keys",
    "named_secret",
    "rotate_keys",
]

BROKER_PASSWORD = "broker-password"  # noqa: S105 - names a purpose
CLIENT_KEY = "client-key"
PRODUCT_KEY = "product-key"
_NAMED_SECRET = "named-secret"  # noqa: S105 - names a purpose
SETTING = "MQTT_PASSWORD_ENCRYPTION_KEY"
_BATCH = 200
# The query that lists tokens, the one that replaces a token, and what the tokens are for.
_COLUMNS = (
    ("product_keys", "replace_product_key", PRODUCT_KEY),
    ("previous_product_keys", "replace_previous_product_key", PRODUCT_KEY),
    ("passwords", "replace_password", BROKER_PASSWORD),
    ("past_passwords", "replace_past_password", BROKER_PASSWORD),
    ("client_keys", "replace_client_key", CLIENT_KEY),
    ("past_client_keys", "replace_past_client_key", CLIENT_KEY),
    ("named_secrets", "replace_named_secret", _NAMED_SECRET),
)


class WrongKeyError(InvalidKeyError):
    """The service's keys do not open what is stored."""

    def __init__(self, what: str, product_id: int) -> None:
        super().__init__(
            f"{SETTING}: no key of these opens the {what.replace('-', ' ')} of product {product_id}: "
            "add the key that it was encrypted with (several keys are separated by commas)"
        )


class Vault:
    """Encrypts with the first key, decrypts with all.

    Raises:
        InvalidKeyError: no key, or one that is no Fernet key; the text names the setting.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        try:
            self._keyring = Keyring(keys)
        except InvalidKeyError as error:
            raise InvalidKeyError(f"{SETTING}: {error}") from None

    def encrypt(self, secret: str, purpose: str, product_id: int) -> str:
        """The token to store."""
        return self._keyring.encrypt(secret, purpose=purpose, product_id=product_id)

    def decrypt(self, token: str, purpose: str, product_id: int) -> str:
        """The secret of a stored token.

        Raises:
            WrongKeyError: no key opens it.
        """
        try:
            return self._keyring.decrypt(token, purpose=purpose, product_id=product_id)
        except UnsealError:
            raise WrongKeyError(purpose, product_id) from None

    def is_current(self, token: str) -> bool:
        """Was it encrypted with the first key?"""
        return self._keyring.is_current(token)


class _Token(Struct, frozen=True):
    product_id: int
    number: int
    token: str
    name: str = ""
    """Of a named secret."""

    def purpose(self, kind: str) -> str:
        return f"{kind} {self.name}" if self.name else kind


def named_secret(name: str) -> str:
    """The purpose of a named secret: its token opens under its own name alone."""
    return f"{_NAMED_SECRET} {name}"


async def check_keys(store: Store, vault: Vault) -> None:
    """Open a batch of tokens of each kind, so that a wrong key is noticed at start, not at the first change.

    Raises:
        WrongKeyError: one does not open.
    """
    for listing, _, purpose in _COLUMNS:
        for token in await _batch(store, listing, _Token(0, -1, "")):
            vault.decrypt(token.token, token.purpose(purpose), token.product_id)


async def rotate_keys(store: Store, vault: Vault) -> int:
    """Encrypt everything that is not under the first key anew; answers how many tokens that were.

    May run while the service does: a token is replaced only if it is still the one that was read, and writes
    leave a password that they do not change alone. Stopped half way, it goes on where it is needed.

    Raises:
        WrongKeyError: a token opens with none of the keys; those before it are done.
    """
    total, done = 0, -1
    # Once more after a pass that found something: a replica with older settings may have written behind it.
    while done:
        done = sum([await _rotate(store, vault, *column) for column in _COLUMNS])
        total += done
    return total


async def _rotate(store: Store, vault: Vault, listing: str, replace: str, purpose: str) -> int:
    done, last = 0, _Token(0, -1, "")
    while batch := await _batch(store, listing, last):
        last = batch[-1]
        for token in batch:
            if not vault.is_current(token.token):
                done += await _renew(store, vault, replace, purpose, token)
    return done


async def _renew(store: Store, vault: Vault, replace: str, kind: str, old: _Token) -> int:
    purpose = old.purpose(kind)
    secret = vault.decrypt(old.token, purpose, old.product_id)
    token = vault.encrypt(secret, purpose, old.product_id)
    await store.value(replace, old.product_id, old.number, old.token, token)
    return 1


async def _batch(store: Store, listing: str, after: _Token) -> list[_Token]:
    kind: type[list[_Token]] = list[_Token]
    return await store.one(listing, kind, after.product_id, after.number, _BATCH) or []
