"""Encryption of secrets, at rest and in snapshots.

Fernet (https://github.com/fernet/spec) has no associated data: a token copied to another row or message
would decrypt there. So the context (purpose, product, revision, digest of everything beside the token) stands
inside the encrypted text, and opening refuses when it differs.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from msgspec import Struct, field, structs

from .messages import MalformedMessageError, Snapshot, decode, encode

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "InvalidKeyError",
    "Keyring",
    "Secrets",
    "UnsealError",
    "digest",
    "key_id",
    "most_bytes",
    "new_key",
    "open_snapshot",
    "seal_snapshot",
]


class InvalidKeyError(ValueError):
    """Not a Fernet key: 32 bytes in URL-safe base64."""


class UnsealError(ValueError):
    """The token does not open here: another key, another product or revision, or altered on the way."""


class Secrets(Struct, frozen=True, kw_only=True):
    """What a snapshot carries sealed. Its `repr` shows nothing."""

    password: str | None = None
    client_key: str | None = None
    """PEM, the key of `Broker.client_certificate`."""
    named: dict[str, str] = field(default_factory=dict[str, str])
    """The product's named secrets, which templates in actions refer to as `secrets.<name>`."""

    def __repr__(self) -> str:
        return "Secrets(***)"


class _Sealed(Struct, frozen=True, kw_only=True):
    product_id: int
    revision: int
    digest: str
    secrets: Secrets


class _AtRest(Struct, frozen=True, kw_only=True):
    purpose: str
    product_id: int
    secret: str


def new_key() -> str:
    """A fresh Fernet key."""
    return Fernet.generate_key().decode()


def key_id(key: str) -> str:
    """A name for the key that tells nothing about it: the first 12 hex digits of its SHA-256."""
    return hashlib.sha256(key.encode()).hexdigest()[:12]


def _fernet(key: str) -> Fernet:
    try:
        return Fernet(key.strip())
    except (ValueError, TypeError):
        # The cause would quote the key.
        raise InvalidKeyError(
            "a key must be 32 bytes in URL-safe base64, as Fernet.generate_key() makes"
        ) from None


class Keyring:
    """The service's keys for secrets at rest: the first encrypts, all decrypt.

    Raises:
        InvalidKeyError: no key, or one that is not a Fernet key.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        if not keys:
            raise InvalidKeyError("at least one key is needed")
        self._first = _fernet(keys[0])
        self._all = MultiFernet([_fernet(key) for key in keys])

    def encrypt(self, secret: str, *, purpose: str, product_id: int) -> str:
        """A token that opens only for the same purpose and product."""
        content = _AtRest(purpose=purpose, product_id=product_id, secret=secret)
        return self._all.encrypt(encode(content)).decode()

    def decrypt(self, token: str, *, purpose: str, product_id: int) -> str:
        """The secret of a token made by `encrypt`.

        Raises:
            UnsealError: no key opens it, or it was made for another purpose or product.
        """
        content = _open([self._all], token, _AtRest)
        if (content.purpose, content.product_id) != (purpose, product_id):
            raise UnsealError("the token belongs to another product or purpose")
        return content.secret

    def is_current(self, token: str) -> bool:
        """Was the token made with the first key? `rotate-keys` leaves such a one alone."""
        try:
            self._first.decrypt(token.encode())
        except InvalidToken:
            return False
        return True


T = TypeVar("T")


def _open(fernets: Sequence[Fernet | MultiFernet], token: str, kind: type[T]) -> T:
    for fernet in fernets:
        try:
            return decode(fernet.decrypt(token.encode()), kind)
        except (InvalidToken, MalformedMessageError, UnicodeEncodeError):
            continue
    raise UnsealError("the token does not open with this key")


_canonical = msgspec.json.Encoder(order="sorted")
_NOT_DIGESTED = ("sealed", "sealed_previous", "issued_at", "issued_by")


def digest(raw: bytes) -> str:
    """SHA-256 (hex) of what a snapshot configures: the message without `sealed*` and `issued_*`.

    Taken over the JSON object with sorted keys and no spaces, unknown fields included, so that an instance of
    an older version comes to the same digest as the service.

    Raises:
        MalformedMessageError: not a JSON object.
    """
    content = decode(raw, dict[str, Any])
    for name in _NOT_DIGESTED:
        content.pop(name, None)
    return hashlib.sha256(_canonical.encode(content)).hexdigest()


def seal_snapshot(
    snapshot: Snapshot,
    secrets: Secrets,
    key: str,
    previous_key: str | None = None,
    *,
    known_digest: str | None = None,
) -> bytes:
    """The message for the bucket: the snapshot with its secrets sealed under the product's key or keys.

    known_digest: that of the snapshot, where it was computed before.
    """
    content = _Sealed(
        product_id=snapshot.product_id,
        revision=snapshot.revision,
        digest=known_digest or digest(encode(snapshot)),
        secrets=secrets,
    )
    plain = encode(content)
    sealed_previous = _fernet(previous_key).encrypt(plain).decode() if previous_key else None
    sealed = _fernet(key).encrypt(plain).decode()
    return encode(structs.replace(snapshot, sealed=sealed, sealed_previous=sealed_previous))


# What stands in `_Sealed` beside the secrets.
_SEALED_BYTES = 300
# Version, time, initialisation vector and signature of a Fernet token, and the size of the cipher's blocks.
_FERNET_BYTES, _BLOCK_BYTES = 57, 16


def most_bytes(snapshot: bytes, at_rest: Iterable[str]) -> int:
    """The most that `seal_snapshot` makes of an encoded snapshot without seal, whether one key seals or two.

    at_rest: the secrets' tokens, as `Keyring.encrypt` makes them. They need not be opened: each holds no less
        than the secret takes in the seal.
    """
    secrets = sum(len(token) * 3 // 4 - _FERNET_BYTES for token in at_rest)
    blocks = (_SEALED_BYTES + secrets) // _BLOCK_BYTES + 1
    token = (_FERNET_BYTES + blocks * _BLOCK_BYTES + 2) // 3 * 4
    return len(snapshot) + 2 * token + len('"sealed":"","sealed_previous":""')


class Opened(Struct, frozen=True, kw_only=True):
    """A snapshot that has proved to be what the service issued."""

    snapshot: Snapshot
    secrets: Secrets = field(default_factory=Secrets)
    digest: str


def open_snapshot(raw: bytes, key: str) -> Opened:
    """Read a snapshot and check it against its seal: nothing beside the seal may differ from what was sealed.

    Raises:
        MalformedMessageError: not a snapshot.
        UnsealError: sealed under another key, for another product or revision, or altered on the way.
    """
    snapshot, found = decode(raw, Snapshot), digest(raw)
    tokens = [token for token in (snapshot.sealed, snapshot.sealed_previous) if token]
    sealed = _first_that_opens(tokens, _fernet(key))
    if (sealed.product_id, sealed.revision) != (snapshot.product_id, snapshot.revision):
        raise UnsealError("the seal belongs to another product or revision")
    if sealed.digest != found:
        raise UnsealError("the snapshot was altered after it was sealed")
    return Opened(snapshot=snapshot, secrets=sealed.secrets, digest=found)


def _first_that_opens(tokens: Sequence[str], fernet: Fernet) -> _Sealed:
    for token in tokens:
        try:
            return _open([fernet], token, _Sealed)
        except UnsealError:
            continue
    raise UnsealError("the snapshot does not open with this product key")
