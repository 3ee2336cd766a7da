"""The values that counting and aggregating work on. Times are aware and in UTC; durations are seconds."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, NamedTuple

from msgspec import Struct, field

from mqtt_shared.messages import Counters, Heartbeat

__all__ = [
    "BootKey",
    "Change",
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
    instance: Instance | None = None
    """`current` as it is to be stored."""
    affects_status: bool = False
    """The status of the product may be another one now."""


class Live(Struct, frozen=True, kw_only=True):
    """The live instances of one product in one row."""

    connected: int = 0
    """How many of them are connected."""
    subscribed_topics_count: int = 0
    """The most that a connected one has."""
    client_id: str | None = None
    broker_info: dict[str, Any] | None = None
    """Of the one that has been connected longest."""
    connection_error: str | None = None
    """Of the failing one that was heard last."""


class Status(Struct, frozen=True, kw_only=True):
    """The stored status of one product."""

    connected: bool = False
    last_connected_at: datetime | None = None
    last_disconnected_at: datetime | None = None
    connection_error: str | None = None
    messages_received: int = 0
    last_message_at: datetime | None = None
    subscribed_topics_count: int = 0
    client_id: str | None = None
    broker_info: dict[str, Any] | None = None
