"""From a stored configuration to the snapshot that instances get; and whether one is right."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from msgspec import structs

from mqtt_shared import messages, sealing

from .errors import SnapshotTooLargeError
from .references import used_secrets

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .state import Desired

__all__ = ["build", "check_size", "digest", "is_same"]

_NO_TIME = datetime(2000, 1, 1, tzinfo=UTC)
_PARTS_TOLD = 3


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


def check_size(before: Desired, after: Desired, snapshot: messages.Snapshot, limit: int) -> None:
    """Can `snapshot`, made of `after`, be published? What became smaller may be too large still.

    Raises:
        SnapshotTooLargeError: it can not.
    """
    size = _most_bytes(after, snapshot)
    if size <= limit:
        return
    old = build(snapshot.product_id, snapshot.revision, before, at=snapshot.issued_at, by=snapshot.issued_by)
    if size >= _most_bytes(before, old):
        largest = sorted(_parts(after), key=lambda part: part[1], reverse=True)
        raise SnapshotTooLargeError(size, limit, largest[:_PARTS_TOLD])


def _most_bytes(wanted: Desired, snapshot: messages.Snapshot) -> int:
    return sealing.most_bytes(messages.encode(snapshot), _tokens(wanted).values())


def _tokens(wanted: Desired) -> dict[str, str]:
    """The secrets that go into the snapshot, at rest, by what they are called."""
    tokens = {"password": wanted.password, "client_key": wanted.client_key}
    named = {f"secret {name}": token for name, token in used_secrets(wanted).items()}
    return {name: token for name, token in tokens.items() if token} | named


def _parts(wanted: Desired) -> Iterator[tuple[str, int]]:
    for item in wanted.subscriptions:
        yield f"subscription {item.name}", len(messages.encode(item))
    if wanted.broker:
        for name in ("ca_certificate", "client_certificate"):
            yield name, len(getattr(wanted.broker, name) or "")
    yield "variables", sum(len(name) + len(value) for name, value in wanted.variables.items())
    for name, token in _tokens(wanted).items():
        yield name, len(token)


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
