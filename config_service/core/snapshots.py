"""From a stored configuration to the snapshot that instances get; and whether one is right."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from msgspec import structs

from mqtt_shared import messages, sealing

if TYPE_CHECKING:
    from .state import Desired

__all__ = ["build", "digest", "is_same"]

_NO_TIME = datetime(2000, 1, 1, tzinfo=UTC)


def build(product_id: int, revision: int, wanted: Desired, *, at: datetime, by: str) -> messages.Snapshot:
    """The snapshot, not yet sealed. Without a broker it tells instances to stop consuming."""
    if wanted.broker is None:
        return messages.Snapshot(product_id=product_id, revision=revision, issued_at=at, issued_by=by)
    return messages.Snapshot(
        product_id=product_id,
        revision=revision,
        issued_at=at,
        issued_by=by,
        broker=wanted.broker,
        topics=wanted.topics,
        variables=wanted.variables,
        subscriptions=[
            messages.Subscription(
                id=item.id,
                name=item.name,
                topic=item.full_topic(wanted.topics),
                enabled=item.enabled,
                actions=item.actions,
                concurrency=item.concurrency,
            )
            for item in wanted.subscriptions
        ],
    )


def digest(snapshot: messages.Snapshot) -> str:
    """What instances report as `applied_digest`."""
    return sealing.digest(messages.encode(snapshot))


def is_same(raw: bytes, right: bytes, secrets: sealing.Secrets, key: str, previous_key: str | None) -> bool:
    """Does `raw`, as found in the bucket, say what `right` says, sealed under the same keys?

    Compares what this version knows, so that two versions of the service never fight over a field that only
    one of them writes.
    """
    try:
        found = sealing.open_snapshot(raw, key)
        if previous_key:
            sealing.open_snapshot(raw, previous_key)
    except (messages.MalformedMessageError, sealing.UnsealError):
        return False
    wanted = messages.decode(right, messages.Snapshot)
    return (
        _content(found.snapshot) == _content(wanted)
        and found.secrets == secrets
        and (found.snapshot.sealed_previous is None) == (previous_key is None)
    )


def _content(snapshot: messages.Snapshot) -> messages.Snapshot:
    return structs.replace(snapshot, issued_at=_NO_TIME, issued_by="", sealed="", sealed_previous=None)
