"""From stored rows to the bytes that go into the bucket."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mqtt_shared import sealing

from .core import snapshots
from .core.publication import Sealed
from .core.references import used_secrets
from .core.state import Desired, stored
from .vault import BROKER_PASSWORD, CLIENT_KEY, PRODUCT_KEY, named_secret

if TYPE_CHECKING:
    from datetime import datetime

    from mqtt_shared.messages import Snapshot

    from .core.publication import Publication
    from .core.state import ProductRow
    from .vault import Vault

__all__ = ["opened", "seal", "seal_rows", "seal_tombstone"]


def seal_rows(vault: Vault, product_id: int, rows: Publication) -> Sealed | None:
    """What belongs into the bucket; None when the product never had a configuration."""
    if rows.product and rows.config and rows.issued:
        wanted = stored(rows.product, rows.config, rows.subscriptions, rows.secrets)
        snapshot = snapshots.build(
            product_id, rows.config.revision, wanted, at=rows.issued.at, by=rows.issued.by
        )
        return seal(vault, rows.product, wanted, snapshot)
    if rows.tombstone is None:
        return None
    key = _key(vault, rows.product.product_key, product_id) if rows.product else None
    previous = rows.product.previous_product_key if rows.product else None
    return Sealed(
        product_id=product_id,
        revision=rows.tombstone.revision,
        payload=rows.tombstone.snapshot.encode(),
        key_id=rows.product.product_key_id if rows.product else None,
        previous_key_id=rows.product.previous_product_key_id if rows.product else None,
        key=key,
        previous_key=_key(vault, previous, product_id) if previous else None,
    )


def seal(
    vault: Vault, product: ProductRow, wanted: Desired, snapshot: Snapshot, digest: str | None = None
) -> Sealed:
    """`snapshot`, made of `wanted`, sealed under the product's key, and the previous one while it is good."""
    secrets = opened(vault, product.id, wanted)
    key = _key(vault, product.product_key, product.id)
    previous = product.previous_product_key
    previous_key = _key(vault, previous, product.id) if previous else None
    return Sealed(
        product_id=product.id,
        revision=snapshot.revision,
        payload=sealing.seal_snapshot(snapshot, secrets, key, previous_key, known_digest=digest),
        key_id=product.product_key_id,
        previous_key_id=product.previous_product_key_id,
        key=key,
        previous_key=previous_key,
        secrets=secrets,
    )


def opened(vault: Vault, product_id: int, wanted: Desired) -> sealing.Secrets:
    """The secrets of a configuration, in the clear; of named ones those that its actions refer to."""

    def decrypt(token: str | None, purpose: str) -> str | None:
        return vault.decrypt(token, purpose, product_id) if token else None

    return sealing.Secrets(
        password=decrypt(wanted.password, BROKER_PASSWORD),
        client_key=decrypt(wanted.client_key, CLIENT_KEY),
        named={
            name: vault.decrypt(token, named_secret(name), product_id)
            for name, token in used_secrets(wanted).items()
        },
    )


def seal_tombstone(
    vault: Vault, product: ProductRow, revision: int, *, at: datetime, by: str
) -> tuple[str, str]:
    """The last snapshot of a removed configuration, and its digest."""
    removed = Desired()
    sealed = seal(vault, product, removed, snapshots.build(product.id, revision, removed, at=at, by=by))
    return sealed.payload.decode(), sealing.digest(sealed.payload)


def _key(vault: Vault, token: str, product_id: int) -> str:
    return vault.decrypt(token, PRODUCT_KEY, product_id)
