"""A configuration, where it comes from, and which of two is in force."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from msgspec import Struct, field

from mqtt_shared import topics
from mqtt_shared.messages import MalformedMessageError, Rejection, Snapshot, decode
from mqtt_shared.plan import Target, plan, resolve
from mqtt_shared.sealing import Opened, UnsealError, digest, open_snapshot

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Configuration", "Reader", "RejectedError", "Source", "Standing", "compare", "words"]

Source = Literal["nats", "disk", "environment", "defaults"]
Standing = Literal["newer", "same", "drifted", "older"]

_MOST_WORDS = 2000


def words(text: str) -> str:
    """A text as a heartbeat or a dead letter can carry it."""
    # Half a surrogate pair, as names of files may have, is no UTF-8.
    good = text.encode("utf-8", "replace").decode()
    return good.replace("\x00", "\N{REPLACEMENT CHARACTER}")[:_MOST_WORDS]


class RejectedError(Exception):
    """The instance refuses a configuration and stays on what it has; the text tells the operator why."""

    def __init__(self, reason: str, *, revision: int = 0, fatal: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.revision = revision
        self.fatal = fatal

    @property
    def rejection(self) -> Rejection:
        """As the heartbeat carries it."""
        return Rejection(revision=self.revision, error=words(self.reason))


class Configuration(Struct, frozen=True, kw_only=True):
    """A target, and what it was made from.

    revision, digest: null when it did not come from config_service. raw: the snapshot as it was received,
    still sealed; null when there was none.
    """

    source: Source
    target: Target
    client_id: str | None = None
    """The client id to use, variables replaced; null when the instance makes one."""
    variables: dict[str, str] = field(default_factory=dict[str, str])
    """What templates in actions find under `variables`."""
    revision: int | None = None
    digest: str | None = None
    raw: bytes | None = None

    def keeps_the_connection_of(self, other: Configuration) -> bool:
        """Do both go with one connection to the broker?"""
        return self.client_id == other.client_id and plan(other.target, self.target).connection == "keep"


def compare(known: Configuration | None, found: Configuration) -> Standing:
    """How does a snapshot stand to the newest one known? Older ones are ignored."""
    if known is None or known.revision is None or found.revision is None:
        return "newer"
    if found.revision != known.revision:
        return "newer" if found.revision > known.revision else "older"
    return "same" if found.digest == known.digest else "drifted"


class Reader:
    """Makes configurations out of snapshots, and refuses what is not meant for this instance."""

    def __init__(self, product_id: int, product_key: str | None, variables: Mapping[str, str]) -> None:
        self._product_id = product_id
        self._key = product_key
        self._variables = variables

    def read(self, raw: bytes, source: Source) -> Configuration:
        """Open, check and resolve a snapshot.

        Raises:
            RejectedError: malformed, for another product, altered, sealed under another key, or with a topic
                or client id that has no meaning here.
        """
        revision = _claimed_revision(raw)
        try:
            opened = self._open(raw)
            return self._configuration(opened, raw, source)
        except MalformedMessageError as error:
            raise RejectedError(f"the snapshot cannot be read: {error}", revision=revision) from error
        except (UnsealError, topics.InvalidTopicError) as error:
            raise RejectedError(str(error), revision=revision) from error

    def _open(self, raw: bytes) -> Opened:
        snapshot = decode(raw, Snapshot)
        if snapshot.product_id != self._product_id:
            raise UnsealError(
                f"the snapshot is for product {snapshot.product_id}, this is product {self._product_id}"
            )
        if self._key:
            return open_snapshot(raw, self._key)
        if snapshot.sealed or snapshot.sealed_previous:
            raise UnsealError("the snapshot is sealed: set PRODUCT_KEY to the product's key")
        return Opened(snapshot=snapshot, digest=digest(raw))

    def _configuration(self, opened: Opened, raw: bytes, source: Source) -> Configuration:
        snapshot = opened.snapshot
        return Configuration(
            source=source,
            target=resolve(snapshot, opened.secrets, self._variables),
            client_id=self._client_id(snapshot),
            variables={**self._variables, **snapshot.variables},
            revision=snapshot.revision,
            digest=opened.digest,
            raw=raw,
        )

    def _client_id(self, snapshot: Snapshot) -> str | None:
        if snapshot.broker is None or not snapshot.broker.client_id:
            return None
        try:
            return topics.substitute(snapshot.broker.client_id, {**self._variables, **snapshot.variables})
        except topics.UnknownVariableError as error:
            raise topics.InvalidTopicError(f"client id: {error}") from error


class _Claim(Struct):
    revision: int = 0


def _claimed_revision(raw: bytes) -> int:
    """The revision that a snapshot claims, for the rejection; 0 when it cannot be told."""
    try:
        claimed = decode(raw, _Claim).revision
    except MalformedMessageError:
        return 0
    return claimed if 0 <= claimed < 2**63 else 0
