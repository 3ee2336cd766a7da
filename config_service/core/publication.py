"""What is published of a product, made from what is stored."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct, field

from mqtt_shared.sealing import Secrets

from .state import ConfigRow, ProductRow, SecretRow, SubscriptionRow, TombstoneRow

__all__ = ["Issued", "Publication", "Sealed"]


class Issued(Struct, frozen=True, kw_only=True):
    """When and by whom a revision was made."""

    at: datetime
    by: str


class Publication(Struct, frozen=True, kw_only=True):
    """The rows behind a product's snapshot. Without `product`, it was deleted; without `config`, removed."""

    product: ProductRow | None = None
    config: ConfigRow | None = None
    subscriptions: list[SubscriptionRow] = field(default_factory=list[SubscriptionRow])
    secrets: list[SecretRow] = field(default_factory=list[SecretRow])
    tombstone: TombstoneRow | None = None
    issued: Issued | None = None


class Sealed(Struct, frozen=True, kw_only=True):
    """A snapshot ready for the bucket, and the secrets to check another one by. Its `repr` shows nothing."""

    product_id: int
    revision: int
    payload: bytes
    key_id: str | None = None
    previous_key_id: str | None = None
    key: str | None = None
    previous_key: str | None = None
    secrets: Secrets = Secrets()

    def __repr__(self) -> str:
        return f"Sealed(product_id={self.product_id}, revision={self.revision})"
