"""What clients may send, one struct for each body. `UNSET` fields were not sent."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType, field

from mqtt_shared.messages import Protocol, TlsVersion, Transport

from .actions import MQTT_TOPIC
from .model import Role

__all__ = [
    "BrokerInput",
    "ConfigInput",
    "ProductInput",
    "ProductPatch",
    "ReconnectInput",
    "SampleInput",
    "SecretInput",
    "SessionInput",
    "SubscriptionDraft",
    "SubscriptionInput",
    "SubscriptionPatch",
    "TestInput",
    "TokenInput",
    "TopicsInput",
]

Text = Annotated[str, Meta(pattern="^[^\\x00]*$")]
ProductName = Annotated[str, Meta(min_length=1, max_length=100, pattern="^[^\\x00]*$")]
Description = Annotated[str, Meta(max_length=1000, pattern="^[^\\x00]*$")]
Host = Annotated[str, Meta(min_length=1, max_length=255, extra={"check": "host"})]
Port = Annotated[int, Meta(ge=1, le=65535)]
Username = Annotated[str, Meta(max_length=255, pattern="^[^\\x00]*$")]
Password = Annotated[str, Meta(max_length=512, pattern="^[^\\x00]*$")]
KeepAlive = Annotated[int, Meta(ge=10, le=3600, description="Seconds")]
# MQTT 5, 3.1.2.11.2: all ones is "for ever".
SessionExpiry = Annotated[int, Meta(ge=0, le=2**32 - 1, description="Seconds")]
WebsocketPath = Annotated[str, Meta(max_length=255, pattern="^/[^\\x00-\\x20\\x7f#]*$")]
Certificates = Annotated[str, Meta(max_length=100_000, extra={"check": "certificates"}, description="PEM")]
PrivateKey = Annotated[str, Meta(max_length=20_000, extra={"check": "private_key"}, description="PEM")]
TopicPart = Annotated[str, Meta(min_length=1, max_length=255)]
SharedGroup = Annotated[str, Meta(min_length=1, max_length=100, pattern="^[^/+#\\x00]+$")]
Qos = Annotated[int, Meta(ge=0, le=2)]
SubscriptionName = Annotated[str, Meta(pattern="^[a-z][a-z0-9_]{0,99}$")]
Topic = Annotated[str, Meta(min_length=1, max_length=512, extra={"check": "topic"})]
VariableName = Annotated[str, Meta(pattern="^[A-Za-z_][A-Za-z0-9_]{0,99}$")]
VariableValue = Annotated[str, Meta(max_length=255, pattern="^[^\\x00]*$")]
# `core/actions.py` says what stands in one, and has its schema.
Action = Annotated[
    dict[str, Any], Meta(extra={"check": "action"}, extra_json_schema={"$ref": "#/components/schemas/Action"})
]
Actions = Annotated[list[Action], Meta(max_length=50)]
Concurrency = Annotated[int, Meta(ge=1, le=1000, description="How many topics are worked on side by side")]


class ProductInput(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new product."""

    name: ProductName
    description: Description = ""
    variables: dict[VariableName, VariableValue] = field(default_factory=dict[str, str])


class ProductPatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Changes to a product; `variables` replaces all of them."""

    name: ProductName | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    variables: dict[VariableName, VariableValue] | UnsetType = UNSET


class BrokerInput(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Broker settings. Absent fields keep the stored value, or take the default when the config is new.

    `password`, `client_key`: absent, `""` or `"***"` keeps the stored one; null removes it. An empty
    certificate means null; without `client_certificate` there is no `client_key`.
    """

    host: Host
    port: Port | UnsetType = UNSET
    use_tls: bool | UnsetType = UNSET
    verify_cert: bool | UnsetType = UNSET
    username: Username | UnsetType | None = UNSET
    password: Password | UnsetType | None = UNSET
    client_id: Annotated[str, Meta(max_length=255)] | UnsetType | None = UNSET
    keep_alive: KeepAlive | UnsetType = UNSET
    clean_session: bool | UnsetType = UNSET
    protocol: Protocol | UnsetType = UNSET
    session_expiry_seconds: SessionExpiry | UnsetType = UNSET
    transport: Transport | UnsetType = UNSET
    websocket_path: WebsocketPath | UnsetType = UNSET
    tls_min_version: TlsVersion | UnsetType = UNSET
    ca_certificate: Certificates | UnsetType | None = UNSET
    client_certificate: Certificates | UnsetType | None = UNSET
    client_key: PrivateKey | UnsetType | None = UNSET


class TopicsInput(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Topic settings. Absent fields keep the stored value, or take the default when the config is new."""

    prefix: TopicPart | UnsetType = UNSET
    pattern: TopicPart | UnsetType = UNSET
    use_shared: bool | UnsetType = UNSET
    shared_group: SharedGroup | UnsetType | None = UNSET
    qos: Qos | UnsetType = UNSET


GivenTopics = Annotated[TopicsInput, Meta(extra={"check": "topics"})]


class ConfigInput(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `PUT .../mqtt-config`."""

    broker: BrokerInput
    topics: GivenTopics | UnsetType = UNSET


class PartialBrokerInput(BrokerInput, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Broker settings to try: every field may be left out and then comes from the stored configuration."""

    host: Host | UnsetType = UNSET  # pyright: ignore[reportIncompatibleVariableOverride, reportGeneralTypeIssues] - wider on purpose


class TestInput(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST .../mqtt-config/test`."""

    broker: PartialBrokerInput | UnsetType = UNSET
    topics: GivenTopics | UnsetType = UNSET


class SubscriptionInput(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new subscription; a null `topic` is derived from prefix, pattern and name."""

    name: SubscriptionName
    topic: Topic | None = None
    enabled: bool = True
    description: Description = ""
    actions: Actions = field(default_factory=list[dict[str, Any]])
    concurrency: Concurrency = 16


class SubscriptionPatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Changes to a subscription; a null `topic` makes it derived."""

    name: SubscriptionName | UnsetType = UNSET
    topic: Topic | UnsetType | None = UNSET
    enabled: bool | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    actions: Actions | UnsetType = UNSET
    concurrency: Concurrency | UnsetType = UNSET


class SecretInput(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A named secret."""

    value: Annotated[
        str, Meta(min_length=1, max_length=10_000, pattern="^[^\\x00]*$", extra={"check": "secret"})
    ]


class SubscriptionDraft(SubscriptionInput, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A subscription as it might become; with an `id`, in place of the stored one."""

    id: Annotated[int, Meta(ge=1, le=2**31 - 1)] | None = None


class SampleInput(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A message to try: `payload` is any JSON value, `payload_text` a text; without both it is empty."""

    topic: Annotated[
        str, Meta(min_length=1, max_length=10_000, pattern=MQTT_TOPIC, examples=["shop/invoice-paid"])
    ]
    payload: Any = UNSET
    payload_text: Annotated[str, Meta(max_length=500_000, pattern="^[^\\x00]*$")] | UnsetType = UNSET
    subscriptions: Annotated[list[SubscriptionDraft], Meta(max_length=200)] = field(
        default_factory=list[SubscriptionDraft]
    )


class ReconnectInput(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which instance; all of them when none is named."""

    instance_id: Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{1,100}$")] | None = None


class TokenInput(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new bearer token; null `product_ids` means all products."""

    name: Annotated[str, Meta(min_length=1, max_length=100, pattern="^[^\\x00]*$")]
    role: Role
    product_ids: list[Annotated[int, Meta(ge=1, le=2**31 - 1)]] | None = None
    expires_at: Annotated[datetime, Meta(tz=True)] | None = None


class SessionInput(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Sign in with a bearer token."""

    token: Annotated[str, Meta(min_length=1, max_length=1000)]
