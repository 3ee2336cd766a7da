"""The values that counting and aggregating work on. Times are aware and in UTC; durations are seconds."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, NamedTuple

from msgspec import Meta, Raw, Struct, field

from mqtt_shared.messages import (
    Id,
    InstanceCounts,
    Latency,
    ProductState,
    Rejection,
    Revision,
    Timestamp,
    Token,
    TransitionKind,
)

from .tally import Counters, Gain, Tally, Total

__all__ = [
    "Beat",
    "BootKey",
    "Change",
    "Counters",
    "Desired",
    "Happened",
    "Heard",
    "Instance",
    "InstanceKey",
    "Live",
    "State",
    "Status",
    "StoredBoot",
    "Total",
]

# Without a pattern: NUL characters are looked for in the whole message at once.
_Text = Annotated[str, Meta(max_length=2000)]
State = Literal["live", "stale", "stopped"]


class InstanceKey(NamedTuple):
    """One instance of one product."""

    product_id: int
    instance_id: str


class BootKey(NamedTuple):
    """One run of one instance: the unit that counters are cumulative over."""

    product_id: int
    instance_id: str
    boot_id: str

    @property
    def instance(self) -> InstanceKey:
        """The instance that this is a run of."""
        return InstanceKey._make(self[:2])


class Beat(Struct, kw_only=True, gc=False):
    """A `mqtt_shared.messages.Heartbeat` as the collector reads it: what it stores, checked while it is read.

    `counters`, `broker_info`, `action_types` and `latency` are taken out by `check`, which hands on what is
    needed.
    """

    product_id: Id
    instance_id: Token
    boot_id: Token
    seq: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    sent_at: Timestamp
    interval: Annotated[float, Meta(gt=0, le=3600)] = 5.0
    started_at: Timestamp
    version: _Text = ""
    host: _Text = ""
    connected: bool = False
    connected_since: Timestamp | None = None
    client_id: _Text | None = None
    broker_info: Raw = Raw(b"null")
    connection_error: _Text | None = None
    applied_revision: Revision | None = None
    applied_digest: _Text | None = None
    rejected: Rejection | None = None
    subscribed_topics_count: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    counters: Annotated[dict[Id, Counters], Meta(max_length=10_000)] = field(
        default_factory=dict[int, Counters]
    )
    latency: Latency | None = None
    action_types: Raw = Raw(b"[]")
    key_id: _Text | None = None
    stopping: bool = False


class Heard(Struct, frozen=True, gc=False):
    """All that was heard of one boot: the newest heartbeat, and the maxima of all of them."""

    key: BootKey
    heartbeat: Beat
    received: float
    """When the newest one came, on the collector's monotonic clock."""
    tally: Tally
    broker_info: str | None = None
    """JSON in one spelling."""
    action_types: str = "[]"
    """JSON in one spelling."""


class StoredBoot(Struct, frozen=True, gc=False):
    """What the totals already hold of one boot."""

    seq: int
    tally: Tally


class Instance(Struct, frozen=True, kw_only=True, gc=False):
    """An instance as stored: what decides which boot is the current one and what the product's status is."""

    boot_id: str
    state: State
    last_heartbeat_at: datetime
    interval_seconds: float
    connected: bool
    connected_since: datetime | None
    client_id: str | None
    broker_info: str | None
    """JSON in one spelling."""
    connection_error: str | None
    subscribed_topics_count: int
    applied_revision: int | None = None
    applied_digest: str | None = None
    rejected_revision: int | None = None
    rejected_error: str | None = None
    total: Total = Total()
    """Over all boots."""


class Happened(Struct, frozen=True):
    """One thing that happened to an instance: a transition without time and name."""

    kind: TransitionKind
    revision: int | None = None
    detail: str | None = None


class Desired(Struct, frozen=True):
    """The newest configuration of a product, which its instances should apply. 0: there was never one."""

    revision: int = 0
    digest: str | None = None
    changed_at: datetime | None = None


class Change(Struct, frozen=True, kw_only=True):
    """What a batch changes of one instance."""

    key: InstanceKey
    boots: dict[str, StoredBoot] = field(default_factory=dict[str, StoredBoot])
    """The new value of each boot that changed."""
    gained: list[Gain] = field(default_factory=list[Gain])
    """Of each boot that changed: what is to be added to the totals, and the last messages."""
    total: Total = Total()
    """The sum of `gained`."""
    current: Heard | None = None
    """The heartbeat that is the instance's state from now on, or none when the stored one stays."""
    before: Instance | None = None
    """The instance as it was stored; none: unknown until now."""
    after: Instance | None = None
    """The instance as it is to be stored; none: it is cleaned up."""
    quiet: bool = False
    """`after` is `before` with other counts and another time: nothing else is to be looked at."""


class Live(Struct, frozen=True, kw_only=True):
    """What the status shows of single live instances of one product."""

    subscribed_topics_count: int = 0
    """The most that a connected one has."""
    client_id: str | None = None
    broker_info: str | None = None
    """Of the one that has been connected longest."""
    connection_error: str | None = None
    """Of the first failing one by name."""


class Status(Struct, frozen=True, kw_only=True):
    """The stored status of one product."""

    state: ProductState = "no_instances"
    connected: bool = False
    last_connected_at: datetime | None = None
    last_disconnected_at: datetime | None = None
    connection_error: str | None = None
    total: Total = Total()
    """What all instances have counted, for deleted subscriptions too."""
    subscribed_topics_count: int = 0
    client_id: str | None = None
    broker_info: str | None = None
    instances: InstanceCounts = InstanceCounts()
    desired: Desired = Desired()
    """What `instances` was counted against."""
    settled_at: datetime | None = None
    """When no live instance was pending any more, for the first time since `desired` moved."""
    writer: int = 0
    """The last transaction that changed an instance of the product."""
