"""Every name on NATS, under one root (default `mqtt`), so that several deployments share one server."""

from __future__ import annotations

import re

from msgspec import Struct

__all__ = ["Subjects"]

_ROOT = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")


class Subjects(Struct, frozen=True):
    """The names under `root`: lower case for subjects, upper case for streams and buckets.

    Raises:
        ValueError: `root` is not one lower-case token of a subject.
    """

    root: str = "mqtt"

    def __post_init__(self) -> None:
        if not _ROOT.fullmatch(self.root):
            raise ValueError(f"the NATS root must match {_ROOT.pattern}, not {self.root!r}")

    @property
    def bucket(self) -> str:
        """The JetStream key-value bucket of snapshots; the key is the product id."""
        return f"{self.root.upper()}_CONFIG"

    @property
    def bucket_stream(self) -> str:
        """The stream under the bucket (NATS ADR-8)."""
        return f"KV_{self.bucket}"

    def config(self, product_id: int | str) -> str:
        """The subject of a product's key in the bucket."""
        return f"$KV.{self.bucket}.{product_id}"

    @property
    def heartbeat_stream(self) -> str:
        """The stream that keeps the last heartbeat of each boot."""
        return f"{self.root.upper()}_HEARTBEATS"

    def heartbeat(self, product_id: int, instance_id: str, boot_id: str) -> str:
        """Where one boot of an instance reports."""
        return f"{self.root}.heartbeat.{product_id}.{instance_id}.{boot_id}"

    @property
    def heartbeats(self) -> str:
        """All heartbeats."""
        return f"{self.root}.heartbeat.*.*.*"

    @property
    def dead_letter_stream(self) -> str:
        """The stream of messages whose actions failed for the last time."""
        return f"{self.root.upper()}_DEAD_LETTERS"

    def dead_letter(self, product_id: int | str, subscription_id: int | str) -> str:
        """Where the dead letters of one subscription stand; `*` for all."""
        return f"{self.root}.dead_letter.{product_id}.{subscription_id}"

    def dead_letter_part(self, product_id: int | str, subscription_id: int | str) -> str:
        """Where payloads stand in pieces that are too large for one message of NATS; `*` for all."""
        return f"{self.root}.dead_letter_part.{product_id}.{subscription_id}"

    def status(self, product_id: int | str) -> str:
        """The aggregated status of a product; `*` for all."""
        return f"{self.root}.status.{product_id}"

    def product(self, product_id: int | str) -> str:
        """That a product was created, updated or deleted; `*` for all."""
        return f"{self.root}.product.{product_id}"

    def command(self, product_id: int) -> str:
        """Requests to all instances of a product."""
        return f"{self.root}.command.{product_id}"
