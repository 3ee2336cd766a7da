"""The values that counting and aggregating work on. Times are aware and in UTC; durations are seconds."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, NamedTuple

from msgspec import Struct, field

from mqtt_shared.messages import Counters, Heartbeat, InstanceCounts, ProductState, TransitionKind

__all__ = [
    "BootKey",
    "Change",
    "Desired",
    "Happened",
    "Heard",
    "Instance",
    "InstanceKey",
    "Live",
    "State",
    "Status",
    "StoredBoot",
]

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
        return InstanceKey(self.product_id, self.instance_id)


class Heard(Struct, frozen=True):
    """All that was heard of one boot: the newest heartbeat, and the maxima of all of them."""

    heartbeat: Heartbeat
    received: float
    """When the newest one came, on the collector's monotonic clock."""
    counters: dict[int, Counters]

    @property
    def key(self) -> BootKey:
        """The boot that this is about."""
        beat = self.heartbeat
        return BootKey(beat.product_id, beat.instance_id, beat.boot_id)


class StoredBoot(Struct, frozen=True):
    """What the totals already hold of one boot."""

    seq: int
    counters: dict[int, Counters]


class Instance(Struct, frozen=True, kw_only=True):
    """An instance as stored: what decides which boot is the current one and what the product's status is."""

    boot_id: str
    state: State
    last_heartbeat_at: datetime
    interval_seconds: float
    connected: bool
    connected_since: datetime | None
    client_id: str | None
    broker_info: dict[str, Any] | None
    connection_error: str | None
    subscribed_topics_count: int
    applied_revision: int | None = None
    applied_digest: str | None = None
    rejected_revision: int | None = None
    rejected_error: str | None = None
    total: Counters = Counters()
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
    gained: dict[int, Counters] = field(default_factory=dict[int, Counters])
    """By subscription: what is to be added to the totals, and the last message."""
    total: Counters = Counters()
    """The sum of `gained`."""
    current: Heard | None = None
    """The heartbeat that is the instance's state from now on, or none when the stored one stays."""
    before: Instance | None = None
    """The instance as it was stored; none: unknown until now."""
    after: Instance | None = None
    """The instance as it is to be stored; none: it is cleaned up."""


class Live(Struct, frozen=True, kw_only=True):
    """What the status shows of single live instances of one product."""

    subscribed_topics_count: int = 0
    """The most that a connected one has."""
    client_id: str | None = None
    broker_info: dict[str, Any] | None = None
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
    total: Counters = Counters()
    """What all instances have counted, for deleted subscriptions too."""
    subscribed_topics_count: int = 0
    client_id: str | None = None
    broker_info: dict[str, Any] | None = None
    instances: InstanceCounts = InstanceCounts()
    desired: Desired = Desired()
    """What `instances` was counted against."""
    settled_at: datetime | None = None
    """When no live instance was pending any more, for the first time since `desired` moved."""
