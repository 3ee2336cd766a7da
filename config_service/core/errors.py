"""What may go wrong, as the HTTP layer tells it. The first argument is the message: what to change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "Fault",
    "InvalidInputError",
    "KeyInUseError",
    "NameTakenError",
    "NotConfiguredError",
    "NotFoundError",
    "RevisionMismatchError",
    "SecretInUseError",
    "ServiceError",
    "SnapshotTooLargeError",
    "UnavailableError",
]


class Fault(Struct, frozen=True):
    """One thing that is wrong with an input: where, in words, and a stable kind."""

    loc: list[str | int]
    msg: str
    type: str


class ServiceError(Exception):
    """The request cannot be carried out."""


class NotFoundError(ServiceError):
    """There is no such product, subscription, revision or token (404)."""


class NameTakenError(ServiceError):
    """The name is in use (409)."""


class KeyInUseError(ServiceError):
    """The previous product key is still good; a further one would lock its instances out (409)."""

    def __init__(self, product_id: int) -> None:
        super().__init__(
            f"the previous key of product {product_id} is still good: give all instances the new one, "
            "or end the previous key first (DELETE .../product-key/previous)"
        )


class SecretInUseError(ServiceError):
    """Actions refer to the secret (409)."""

    def __init__(self, name: str, users: Iterable[str]) -> None:
        super().__init__(f"secret {name} is in use by actions of {', '.join(users)}; change those first")


class NotConfiguredError(ServiceError):
    """The product has no MQTT configuration yet (409)."""

    def __init__(self, product_id: int) -> None:
        super().__init__(f"product {product_id} has no MQTT configuration: PUT its broker settings first")


class RevisionMismatchError(ServiceError):
    """`If-Match` names another revision than the current one (412)."""

    def __init__(self, current: int) -> None:
        super().__init__(
            f"the configuration is at revision {current} now: read it again, then repeat the change"
        )
        self.current = current


class InvalidInputError(ServiceError):
    """The input breaks rules (422); all of them are in `faults`."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(f"{'.'.join(map(str, fault.loc))}: {fault.msg}" for fault in faults))
        self.faults = list(faults)


class SnapshotTooLargeError(ServiceError):
    """The whole configuration would not fit into one message of NATS (422)."""

    def __init__(self, size: int, limit: int, largest: Iterable[tuple[str, int]]) -> None:
        parts = ", ".join(f"{name} ({part:,} bytes)" for name, part in largest)
        super().__init__(
            f"the configuration would take {size:,} bytes on its way to the instances, and NATS takes "
            f"{limit:,} (its max_payload): shorten or remove what is largest: {parts}"
        )


class UnavailableError(ServiceError):
    """A server that the request needs is away (503)."""

    def __init__(self, what: str, retry_after_seconds: int = 2) -> None:
        super().__init__(f"{what} is away: try again in {retry_after_seconds} s")
        self.what = what
        self.retry_after_seconds = retry_after_seconds
