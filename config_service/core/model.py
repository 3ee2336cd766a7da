"""What the service knows: products, configurations, subscriptions, revisions, instances, tokens.

These structs are the answers of the REST API as well: their field names are promised to clients.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

from msgspec import Struct, field

from mqtt_shared.conditions import Unmet
from mqtt_shared.event import Event
from mqtt_shared.messages import (
    InstanceCounts,
    ProductStatus,
    Protocol,
    TlsVersion,
    TransitionKind,
    Transport,
)

__all__ = [
    "ActivityEntry",
    "ApiToken",
    "Broker",
    "Change",
    "ConfigAnswer",
    "ConfigChanged",
    "Effect",
    "FleetProduct",
    "Instance",
    "InstanceProgress",
    "Metrics",
    "MetricsPoint",
    "MissingSecret",
    "MqttConfig",
    "Page",
    "PathChange",
    "Principal",
    "Product",
    "RejectionInfo",
    "Revision",
    "Rollout",
    "RolloutCounts",
    "Sample",
    "Secret",
    "Stats",
    "Subscription",
    "Topics",
    "TriedAction",
    "TriedSubscription",
    "Warn",
    "Write",
]

MASK: Literal["***"] = "***"
T = TypeVar("T")
Role = Literal["viewer", "operator", "administrator"]


class Product(Struct, frozen=True, kw_only=True):
    """One product of the company; its instances share one MQTT configuration."""

    id: int
    name: str
    description: str = ""
    variables: dict[str, str] = field(default_factory=dict[str, str])
    product_key_id: str
    previous_product_key_id: str | None = None
    """Set while an old product key is still good."""
    created_at: datetime
    updated_at: datetime


class Broker(Struct, frozen=True, kw_only=True):
    """Where and how instances connect. `password` and `client_key` are `"***"` when one is stored, null when
    none is. Certificates are PEM.
    """

    host: str
    port: int = 1883
    use_tls: bool = False
    verify_cert: bool = True
    username: str | None = None
    password: Literal["***"] | None = None
    client_id: str | None = None
    keep_alive: int = 60
    clean_session: bool = True
    protocol: Protocol = "3.1.1"
    session_expiry_seconds: int = 604_800
    """How long the broker keeps a session that is not clean; MQTT 5 only."""
    transport: Transport = "tcp"
    websocket_path: str = "/mqtt"
    tls_min_version: TlsVersion = "1.2"
    ca_certificate: str | None = None
    """The only authorities that are trusted; null: those of the system."""
    client_certificate: str | None = None
    client_key: Literal["***"] | None = None


class Topics(Struct, frozen=True, kw_only=True):
    """How topics of subscriptions are made."""

    prefix: str = "/v3/applications"
    pattern: str = "{application_id}/business-events"
    use_shared: bool = True
    shared_group: str | None = "bre"
    qos: int = 1


class MqttConfig(Struct, frozen=True, kw_only=True):
    """Broker and topic settings of a product at one revision."""

    id: int
    product_id: int
    revision: int
    broker: Broker
    topics: Topics
    created_at: datetime
    updated_at: datetime


class Stats(Struct, frozen=True, kw_only=True):
    """Totals over all instances and boots; they never fall."""

    messages_received: int = 0
    last_message_at: datetime | None = None
    actions_executed: int = 0
    actions_failed: int = 0


class Subscription(Struct, frozen=True, kw_only=True):
    """A subscription; with `topic_derived` its topic follows prefix, pattern and name. `stats` is null with
    `live=false`."""

    id: int
    name: str
    topic: str
    topic_derived: bool
    topic_filter: str
    """As instances subscribe it; a variable that only they know is still in braces."""
    enabled: bool
    description: str
    actions: list[dict[str, Any]]
    concurrency: int
    """How many topics are worked on side by side."""
    stats: Stats | None
    created_at: datetime
    updated_at: datetime


class Secret(Struct, frozen=True, kw_only=True):
    """A named secret; its value is never shown."""

    name: str
    created_at: datetime
    updated_at: datetime
    used_by: list[str] = field(default_factory=list[str])
    """Subscriptions, on or off, whose actions refer to it."""


class MissingSecret(Struct, frozen=True, kw_only=True):
    """A secret that actions refer to and that is not stored: they fail at the instances until it is."""

    name: str
    used_by: list[str]
    """Subscriptions, on or off, whose actions refer to it."""


class ConfigAnswer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer of endpoint 1."""

    product_id: int
    mqtt_config: MqttConfig | None
    subscriptions: list[Subscription] | None
    status: ProductStatus | None
    revision: int | None
    message: str | None = None


class Instance(Struct, frozen=True, kw_only=True):
    """One instance as last heard of. Counts are totals over its boots."""

    instance_id: str
    state: Literal["live", "stale", "stopped"]
    boot_id: str
    started_at: datetime
    first_seen_at: datetime
    last_heartbeat_at: datetime
    interval_seconds: float
    version: str
    host: str
    connected: bool
    connected_since: datetime | None
    client_id: str | None
    broker_info: dict[str, Any] | None
    connection_error: str | None
    applied_revision: int | None
    rejected: RejectionInfo | None
    subscribed_topics_count: int
    messages_received: int
    actions_executed: int
    actions_failed: int
    last_message_at: datetime | None
    action_types: list[str]
    key_id: str | None


class RejectionInfo(Struct, frozen=True, kw_only=True):
    """The revision an instance refused, and why."""

    revision: int
    error: str


class InstanceProgress(Struct, frozen=True, kw_only=True):
    """How far one live instance is with the desired revision."""

    instance_id: str
    state: Literal["applied", "rejected", "pending", "drifted"]
    applied_revision: int | None
    error: str | None = None


class RolloutCounts(Struct, frozen=True, kw_only=True):
    """The desired revision on its way: counts over the live instances."""

    product_id: int
    desired_revision: int
    published_revision: int
    total: int
    applied: int
    rejected: int
    pending: int
    drifted: int
    complete: bool
    """Every live instance has applied or rejected the desired revision; without one: it is published."""


class Rollout(RolloutCounts, frozen=True, kw_only=True):
    """The same with the instances: the rejected first, then drifted, pending, applied."""

    instances: list[InstanceProgress]
    """Not all of them where there are many: `total` counts all."""


class FleetProduct(Struct, frozen=True, kw_only=True):
    """A product at a glance."""

    product_id: int
    name: str
    description: str
    configured: bool
    state: Literal["not_configured", "no_instances", "disconnected", "degraded", "healthy"]
    connected: bool
    instances: InstanceCounts
    desired_revision: int
    published_revision: int
    messages_received: int
    actions_executed: int
    actions_failed: int
    last_message_at: datetime | None
    connection_error: str | None
    updated_at: datetime | None
    """Of the status; null until the first heartbeat."""
    recent: list[int]
    """Messages received in each of the last 30 whole minutes, the oldest first."""


class TriedAction(Struct, frozen=True, kw_only=True):
    """What one action would do with a sample."""

    index: int
    type: str
    condition_holds: bool
    unmet: list[Unmet]
    would_send: dict[str, Any] | None
    """By a built-in type: a request, mail or message; null when nothing is sent."""
    config: dict[str, Any] | None
    """The settings with the templates rendered, as the product's own code would get them."""
    error: str | None
    """Why the action could not be carried out."""


class TriedSubscription(Struct, frozen=True, kw_only=True):
    """What one subscription would do with a sample. A disabled one is told as if it were enabled."""

    subscription_id: int | None
    """Null: a draft without id."""
    name: str
    topic_filter: str
    enabled: bool
    matches: bool
    actions: list[TriedAction]
    """Empty when the filter does not match."""


class Sample(Struct, frozen=True, kw_only=True):
    """What would become of a message."""

    event: Event
    """As the subscriptions' actions see it, but for the name of the subscription."""
    subscriptions: list[TriedSubscription]


class Revision(Struct, frozen=True, kw_only=True):
    """One change in the history. `before` and `after` are whole configurations without secrets."""

    product_id: int
    revision: int
    changed_at: datetime
    changed_by: str
    action: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class MetricsPoint(Struct, frozen=True, kw_only=True):
    """What happened within one step of a range."""

    at: datetime
    """When it began."""
    received: int
    executed: int
    failed: int
    p50: float | None
    """Seconds within which half of the messages were done; null without any."""
    p95: float | None
    p99: float | None
    connected_instances: int | None
    """The most at a time; null for a subscription."""


class Metrics(Struct, frozen=True, kw_only=True):
    """The history of a product or of one of its subscriptions in figures, the oldest point first."""

    product_id: int
    subscription_id: int | None
    start: datetime = field(name="from")
    """When the first point begins."""
    end: datetime = field(name="to")
    """When the last point ends."""
    as_of: datetime
    """When this was read: a point that ends later is not over yet."""
    step_seconds: int
    resolution: Literal["minute", "hour"]
    points: list[MetricsPoint]


class ActivityEntry(Struct, frozen=True, kw_only=True):
    """Something that happened to an instance, or a change of the configuration."""

    id: str
    at: datetime
    kind: Literal[TransitionKind, "config_changed"]
    instance_id: str | None
    """Null: a change of the configuration."""
    revision: int | None
    detail: str | None
    """The reason; of a change of the configuration, what was done: `put_config`, `restore`, ..."""
    changed_by: str | None


class ConfigChanged(Struct, frozen=True, kw_only=True):
    """A new revision."""

    product_id: int
    revision: int
    changed_at: datetime
    changed_by: str
    action: str


class ApiToken(Struct, frozen=True, kw_only=True):
    """A bearer token; the token itself is never stored."""

    id: int
    name: str
    role: Role
    product_ids: list[int] | None
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    last_used_at: datetime | None


class Warn(Struct, frozen=True, kw_only=True):
    """Something an operator should know about a write that was accepted."""

    loc: list[str | int]
    msg: str
    type: str


class Effect(Struct, frozen=True, kw_only=True):
    """What a write means for running instances.

    connection: `keep`, `open`, `replace` (the new connection stands before the old one is given up),
    `take_over` (same client id: the new one ends the old) or `close`.
    """

    connection: Literal["keep", "open", "replace", "take_over", "close"] = "keep"
    subscribe: list[str] = field(default_factory=list[str])
    unsubscribe: list[str] = field(default_factory=list[str])
    added: list[str] = field(default_factory=list[str])
    """Names of subscriptions that begin."""
    removed: list[str] = field(default_factory=list[str])
    """Names of subscriptions that end."""
    resubscribed: list[str] = field(default_factory=list[str])
    """Names of subscriptions that go on with another topic filter or QoS on the same connection."""
    actions_changed: list[str] = field(default_factory=list[str])
    """Names of subscriptions whose actions change in memory."""
    secrets_changed: list[str] = field(default_factory=list[str])
    """Names of secrets that actions refer to and whose value changes in memory."""
    live_instances: int = 0


class Change(Struct, Generic[T], frozen=True, kw_only=True):
    """The outcome of a write (or of its dry run)."""

    value: T
    revision: int
    effect: Effect
    warnings: list[Warn] = field(default_factory=list[Warn])


class Page(Struct, Generic[T], frozen=True, kw_only=True):
    """One page of a list; `next_cursor` is null on the last one. `revision`: of the configuration."""

    items: list[T]
    next_cursor: str | None
    revision: int | None = None


class PathChange(Struct, frozen=True, kw_only=True):
    """One difference between two configurations; `path` leads to it, lists by the name of their element."""

    path: list[str | int]
    before: Any
    after: Any


class Write(Struct, frozen=True, kw_only=True):
    """How a write is to be done: by whom, at which revision only, and whether to stop before saving."""

    actor: str
    if_match: int | None = None
    dry_run: bool = False


class Principal(Struct, frozen=True, kw_only=True):
    """Who a bearer token stands for; null `product_ids` means all products."""

    name: str
    role: Role
    product_ids: list[int] | None = None
