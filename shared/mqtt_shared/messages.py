"""The messages on NATS, one struct each.

Every message is UTF-8 JSON. Unknown fields are ignored and new fields have defaults, so that old and new
versions live side by side. `docs/asyncapi.json` is generated from these structs.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct, field

__all__ = [
    "LATENCY_BOUNDS_SECONDS",
    "Broker",
    "Command",
    "CommandReply",
    "Count",
    "Counters",
    "DeadLetter",
    "Heartbeat",
    "Id",
    "InstanceChanged",
    "InstanceCounts",
    "InstanceState",
    "Latency",
    "MalformedMessageError",
    "ProductChanged",
    "ProductState",
    "ProductStatus",
    "Protocol",
    "Reconnect",
    "Rejection",
    "Revision",
    "Snapshot",
    "StatusChanged",
    "Subscription",
    "SubscriptionTotals",
    "Text",
    "Timestamp",
    "TlsVersion",
    "Token",
    "Topics",
    "Transition",
    "TransitionKind",
    "Transport",
    "decode",
    "encode",
    "utc",
]


class MalformedMessageError(ValueError):
    """The bytes are not the message they should be; the text says where and why."""


# PostgreSQL stores neither a NUL character nor an integer over 64 bits: both are refused at the edge.
Id = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Revision = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Text = Annotated[str, Meta(max_length=2000, pattern="^[^\\x00]*$")]
# One token of a NATS subject.
Token = Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{1,100}$")]
Timestamp = Annotated[datetime, Meta(tz=True)]

Protocol = Literal["3.1.1", "5"]
Transport = Literal["tcp", "websockets"]
TlsVersion = Literal["1.2", "1.3"]
InstanceState = Literal["live", "stale", "stopped"]
ProductState = Literal["no_instances", "disconnected", "degraded", "healthy"]
TransitionKind = Literal[
    "started", "stopped", "stale", "live", "gone", "connected", "disconnected", "applied", "rejected"
]

# Upper bounds of the processing latency histogram; a last bucket counts everything above.
LATENCY_BOUNDS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Broker(Struct, frozen=True, kw_only=True):
    """Where and how to connect. The password is never here: it is in `Snapshot.sealed`."""

    host: str
    port: int = 1883
    use_tls: bool = False
    verify_cert: bool = True
    username: str | None = None
    client_id: str | None = None
    keep_alive: int = 60
    """Seconds (MQTT 3.1.1, 3.1.2.10)."""
    clean_session: bool = True
    protocol: Protocol = "3.1.1"
    session_expiry_seconds: int = 604_800
    """How long the broker keeps a session that is not clean (MQTT 5, 3.1.2.11.2)."""
    transport: Transport = "tcp"
    websocket_path: str = "/mqtt"
    tls_min_version: TlsVersion = "1.2"
    ca_certificate: str | None = None
    """PEM: the only authorities trusted for this broker; null: those of the system."""
    client_certificate: str | None = None
    """PEM. Its key is in `Snapshot.sealed`."""


class Topics(Struct, frozen=True, kw_only=True):
    """How the topics of subscriptions are made; see `mqtt_shared.topics`."""

    prefix: str = "/v3/applications"
    pattern: str = "{application_id}/business-events"
    use_shared: bool = True
    shared_group: str | None = "bre"
    qos: int = 1


class Subscription(Struct, frozen=True, kw_only=True):
    """One subscription of a product. A derived topic is written out here; its variables stay."""

    id: int
    name: str
    topic: str
    enabled: bool = True
    actions: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    concurrency: int = 16
    """How many topics of this subscription are worked on side by side; within a topic the order is kept."""


class Snapshot(Struct, frozen=True, kw_only=True):
    """The whole configuration of a product at one revision: the value of its key in the KV bucket.

    `broker` is null when the product has no configuration (any more): instances then stop consuming.
    `sealed` is a Fernet token under the product's key (see `mqtt_shared.sealing`); while a new product key
    is handed out, `sealed_previous` holds the same under the old one.
    """

    product_id: Id
    revision: Revision
    issued_at: Timestamp
    issued_by: str = ""
    broker: Broker | None = None
    topics: Topics | None = None
    variables: dict[str, str] = field(default_factory=dict[str, str])
    subscriptions: list[Subscription] = field(default_factory=list[Subscription])
    sealed: str = ""
    sealed_previous: str | None = None


class Counters(Struct, frozen=True, kw_only=True):
    """What one subscription has done since the boot of the instance. Never falls within a boot."""

    messages_received: Count = 0
    actions_executed: Count = 0
    actions_failed: Count = 0
    last_message_at: Timestamp | None = None
    latency: list[Count] = field(default_factory=list[int])
    """Cumulative histogram over the bounds of `Heartbeat.latency`; empty: not measured."""


class Rejection(Struct, frozen=True, kw_only=True):
    """A revision that the instance refused, and the reason in words."""

    revision: Revision
    error: Text


class Latency(Struct, frozen=True, kw_only=True):
    """Cumulative histogram of processing time since boot.

    `counts[i]` messages took at most `bounds[i]` seconds; one element more than `bounds` counts all messages.
    """

    bounds: list[float] = field(default_factory=lambda: list(LATENCY_BOUNDS_SECONDS))
    counts: list[Count] = field(default_factory=list[int])


class Heartbeat(Struct, frozen=True, kw_only=True):
    """The periodic report of an instance: its state, and counters cumulative since boot.

    Sent every `interval` seconds, at once on any change of state or revision, and a last one with
    `stopping` on an orderly stop. `boot_id` is a UUIDv7, so that boots sort by time; `seq` rises by one with
    each message of a boot.
    """

    product_id: Id
    instance_id: Token
    boot_id: Token
    seq: Count
    sent_at: Timestamp
    interval: Annotated[float, Meta(gt=0, le=3600)] = 5.0
    started_at: Timestamp
    version: Text = ""
    host: Text = ""
    connected: bool = False
    connected_since: Timestamp | None = None
    client_id: Text | None = None
    broker_info: dict[str, Any] | None = None
    connection_error: Text | None = None
    applied_revision: Revision | None = None
    applied_digest: Text | None = None
    """`sealing.digest` of the applied snapshot; the same revision with another digest has drifted."""
    rejected: Rejection | None = None
    subscribed_topics_count: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    counters: dict[str, Counters] = field(default_factory=dict[str, Counters])
    """By subscription id (a JSON object's keys are strings)."""
    latency: Latency | None = None
    action_types: list[Text] = field(default_factory=list[str])
    """The action types that this instance can run."""
    key_id: Text | None = None
    """`sealing.key_id` of the product key in use, so that an old key can be ended when nobody needs it."""
    stopping: bool = False


class InstanceCounts(Struct, frozen=True, kw_only=True):
    """How many instances of a product are in which condition; all but the first three count live ones."""

    live: int = 0
    stale: int = 0
    stopped: int = 0
    connected: int = 0
    applied: int = 0
    rejected: int = 0
    pending: int = 0
    drifted: int = 0


class ProductStatus(Struct, frozen=True, kw_only=True):
    """The status of a product, aggregated over its instances: the body of `GET .../mqtt-config/status`."""

    product_id: int
    state: ProductState | None = None
    connected: bool | None = None
    last_connected_at: datetime | None = None
    last_disconnected_at: datetime | None = None
    connection_error: str | None = None
    messages_received: int | None = None
    actions_executed: int | None = None
    actions_failed: int | None = None
    last_message_at: datetime | None = None
    subscribed_topics_count: int | None = None
    client_id: str | None = None
    broker_info: dict[str, Any] | None = None
    instances: InstanceCounts | None = None
    updated_at: datetime | None = None


class SubscriptionTotals(Struct, frozen=True, kw_only=True):
    """The totals of one subscription over all instances and boots."""

    messages_received: int = 0
    actions_executed: int = 0
    actions_failed: int = 0
    last_message_at: datetime | None = None


class InstanceChanged(Struct, frozen=True, kw_only=True):
    """What a flush changed of one instance."""

    instance_id: str
    state: InstanceState
    connected: bool = False
    connection_error: str | None = None
    applied_revision: int | None = None
    rejected: Rejection | None = None
    messages_received: int = 0
    actions_executed: int = 0
    actions_failed: int = 0
    last_message_at: datetime | None = None
    last_heartbeat_at: datetime | None = None


class Transition(Struct, frozen=True, kw_only=True):
    """Something that happened to an instance, for the activity feed."""

    instance_id: str
    kind: TransitionKind
    at: datetime
    revision: int | None = None
    detail: str | None = None


class StatusChanged(Struct, frozen=True, kw_only=True):
    """Published on `<root>.status.<product>` after each flush that changed something of the product.

    Bounded: at most 100 instances stand in `instances` (newest changes of state first), at most
    100 in `transitions`; `instances_changed` tells how many there were.
    """

    product_id: int
    status: ProductStatus
    instances: list[InstanceChanged] = field(default_factory=list[InstanceChanged])
    instances_changed: int = 0
    subscriptions: dict[str, SubscriptionTotals] = field(default_factory=dict[str, SubscriptionTotals])
    """The subscriptions whose totals changed, by id."""
    transitions: list[Transition] = field(default_factory=list[Transition])


class ProductChanged(Struct, frozen=True, kw_only=True):
    """A product was created, updated (name, description, variables, key, or secrets while it has no
    configuration) or deleted.

    Not repeated: who has been away reads the products anew.
    """

    product_id: int
    name: str
    action: Literal["created", "updated", "deleted"]


class DeadLetter(Struct, frozen=True, kw_only=True):
    """A message whose action failed for the last time, in the dead-letter stream.

    `action` is the index in the subscription's actions. `payload_base64` is the payload as it came. One that
    is too large for a message of NATS stands before the letter in the stream, in pieces: `payload_parts` has
    their sequence numbers, and `payload_base64` is empty.
    """

    product_id: int
    instance_id: str
    subscription_id: int
    subscription: str
    action: int
    action_type: str
    error: str
    attempts: int
    topic: str
    payload_base64: str
    qos: int
    retain: bool
    message_id: str
    received_at: Timestamp
    failed_at: Timestamp
    revision: int | None = None
    payload_parts: list[int] = field(default_factory=list[int])


class Reconnect(Struct, frozen=True, kw_only=True, tag="reconnect", tag_field="command"):
    """Give up the MQTT connection and make a new one with the applied configuration.

    With an `instance_id`, it is for that instance alone; the others neither do it nor answer.
    """

    request_id: str = ""
    instance_id: Token | None = None


Command = Reconnect
"""The union of all commands; a receiver answers an unknown one with `accepted: false`."""


class CommandReply(Struct, frozen=True, kw_only=True):
    """One instance's answer to a command."""

    instance_id: str
    accepted: bool
    error: str | None = None


_json = msgspec.json.Encoder()
T = TypeVar("T")


def encode(message: Struct) -> bytes:
    """UTF-8 JSON; times as RFC 3339 with `Z`."""
    return _json.encode(message)


def decode(data: bytes | str, kind: type[T]) -> T:
    """Read one message of `kind`.

    Raises:
        MalformedMessageError: not JSON, or not this message; the text names the field.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedMessageError(str(error)) from error


def utc(at: datetime) -> datetime:
    """The same instant in UTC, which is how every time leaves a process."""
    return at.astimezone(UTC)
