"""What the database holds of a product, and the configuration that is wanted: values, without I/O."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from msgspec import Struct, field, structs

from mqtt_shared import messages, topics

from .model import MASK, Broker, MqttConfig, Product, Secret, Stats, Subscription, Topics

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "ConfigRow",
    "Counts",
    "Desired",
    "Item",
    "LiveInstance",
    "NamedSecret",
    "ProductRow",
    "Saved",
    "SecretRow",
    "State",
    "StatusRow",
    "SubscriptionRow",
    "TombstoneRow",
    "changed",
    "columns",
    "config_answer",
    "product_answer",
    "secret_answer",
    "status_answer",
    "stored",
    "subscription_answer",
]


class ProductRow(Struct, frozen=True, kw_only=True):
    """A row of `products`; the keys are tokens at rest."""

    id: int
    name: str
    description: str = ""
    variables: dict[str, str] = field(default_factory=dict[str, str])
    product_key: str
    product_key_id: str
    previous_product_key: str | None = None
    previous_product_key_id: str | None = None
    created_at: datetime
    updated_at: datetime


class ConfigRow(Struct, frozen=True, kw_only=True):
    """A row of `mqtt_configs`; password and client key are tokens at rest."""

    id: int
    product_id: int
    broker_host: str
    broker_port: int
    use_tls: bool
    verify_cert: bool
    username: str | None
    password: str | None
    client_id: str | None
    keep_alive: int
    clean_session: bool
    protocol: messages.Protocol
    session_expiry_seconds: int
    transport: messages.Transport
    websocket_path: str
    tls_min_version: messages.TlsVersion
    ca_certificate: str | None
    client_certificate: str | None
    client_key: str | None
    topic_prefix: str
    topic_pattern: str
    use_shared_subscriptions: bool
    shared_group: str | None
    qos: int
    revision: int
    published_revision: int
    created_at: datetime
    updated_at: datetime

    @property
    def broker(self) -> messages.Broker:
        """The broker settings, without password and client key."""
        return messages.Broker(
            host=self.broker_host,
            port=self.broker_port,
            use_tls=self.use_tls,
            verify_cert=self.verify_cert,
            username=self.username,
            client_id=self.client_id,
            keep_alive=self.keep_alive,
            clean_session=self.clean_session,
            protocol=self.protocol,
            session_expiry_seconds=self.session_expiry_seconds,
            transport=self.transport,
            websocket_path=self.websocket_path,
            tls_min_version=self.tls_min_version,
            ca_certificate=self.ca_certificate,
            client_certificate=self.client_certificate,
        )

    @property
    def topics(self) -> messages.Topics:
        """The topic settings."""
        return messages.Topics(
            prefix=self.topic_prefix,
            pattern=self.topic_pattern,
            use_shared=self.use_shared_subscriptions,
            shared_group=self.shared_group,
            qos=self.qos,
        )


class SubscriptionRow(Struct, frozen=True, kw_only=True):
    """A row of `mqtt_subscriptions`; a null topic is derived."""

    id: int
    name: str
    topic: str | None
    enabled: bool
    description: str
    actions: list[dict[str, Any]]
    concurrency: int
    messages_received: int = 0
    last_message_at: datetime | None = None
    actions_executed: int = 0
    actions_failed: int = 0
    created_at: datetime
    updated_at: datetime


class StatusRow(Struct, frozen=True, kw_only=True):
    """A row of `mqtt_connection_status`."""

    product_id: int
    state: messages.ProductState
    connected: bool
    last_connected_at: datetime | None
    last_disconnected_at: datetime | None
    connection_error: str | None
    messages_received: int
    actions_executed: int
    actions_failed: int
    last_message_at: datetime | None
    subscribed_topics_count: int
    client_id: str | None
    broker_info: dict[str, Any] | None
    instances_live: int
    instances_stale: int
    instances_stopped: int
    instances_connected: int
    instances_applied: int
    instances_rejected: int
    instances_pending: int
    instances_drifted: int
    updated_at: datetime

    def counts(self) -> messages.InstanceCounts:
        """How many instances are in which condition."""
        names = messages.InstanceCounts.__struct_fields__
        return messages.InstanceCounts(**{name: getattr(self, f"instances_{name}") for name in names})


class SecretRow(Struct, frozen=True, kw_only=True):
    """A row of `product_secrets`; the secret is a token at rest."""

    name: str
    secret: str
    created_at: datetime
    updated_at: datetime


class TombstoneRow(Struct, frozen=True, kw_only=True):
    """The last snapshot of a removed configuration."""

    revision: int
    published_revision: int
    snapshot: str


class LiveInstance(Struct, frozen=True, kw_only=True):
    """An instance that reports in time."""

    instance_id: str
    action_types: list[str]


class Item(Struct, frozen=True, kw_only=True):
    """A subscription as it is wanted; a null topic is derived."""

    id: int
    name: str
    topic: str | None = None
    enabled: bool = True
    description: str = ""
    actions: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    concurrency: int = 16

    def full_topic(self, wanted: messages.Topics) -> str:
        """Its own topic, or the derived one; variables stay."""
        return self.topic or topics.derive(wanted.prefix, wanted.pattern, self.name)


class NamedSecret(Struct, frozen=True, kw_only=True):
    """A named secret: its token at rest, and since when it has this value."""

    token: str
    created_at: datetime
    updated_at: datetime


class Desired(Struct, frozen=True, kw_only=True):
    """The whole configuration of a product. `broker` is null when there is none.

    password, client_key: the tokens at rest. Two tokens are equal only when the secret was kept.
    """

    broker: messages.Broker | None = None
    password: str | None = None
    client_key: str | None = None
    topics: messages.Topics = messages.Topics()
    variables: dict[str, str] = field(default_factory=dict[str, str])
    subscriptions: tuple[Item, ...] = ()
    secrets: dict[str, NamedSecret] = field(default_factory=dict[str, NamedSecret])

    def document(self) -> dict[str, Any] | None:
        """For the history: everything, with secrets masked; of named ones, since when they have their value.

        Null without configuration.
        """
        if self.broker is None:
            return None
        document = {
            "broker": self.broker,
            "topics": self.topics,
            "variables": self.variables,
            "subscriptions": self.subscriptions,
            "secrets": {name: secret.updated_at for name, secret in self.secrets.items()},
        }
        plain: dict[str, Any] = msgspec.to_builtins(document)
        plain["broker"] |= {"password": _masked(self.password), "client_key": _masked(self.client_key)}
        return plain


class State(Struct, frozen=True, kw_only=True):
    """All that a write needs to know of a product, read at one moment (`now`, by the database's clock)."""

    now: datetime
    product: ProductRow
    config: ConfigRow | None
    subscriptions: list[SubscriptionRow]
    secrets: list[SecretRow] = field(default_factory=list[SecretRow])
    tombstone: TombstoneRow | None
    live: list[LiveInstance]
    ids: list[int] = field(default_factory=list[int])
    """Fresh ids for subscriptions that the write may create."""

    @property
    def revision(self) -> int:
        """The newest revision of the product; 0 when it never had a configuration."""
        if self.config:
            return self.config.revision
        return self.tombstone.revision if self.tombstone else 0

    def desired(self) -> Desired:
        """The stored configuration."""
        return stored(self.product, self.config, self.subscriptions, self.secrets)


class Counts(Struct, frozen=True, kw_only=True):
    """The counts of a subscription, as they stood when it was changed."""

    id: int
    messages_received: int
    last_message_at: datetime | None
    actions_executed: int
    actions_failed: int


class Saved(Struct, frozen=True, kw_only=True):
    """What the database knows of a change that it has made."""

    product_id: int
    config_id: int
    at: datetime
    live: list[LiveInstance]
    counts: list[Counts] = field(default_factory=list[Counts])
    """Of the changed subscriptions."""


def changed(
    state: State,
    before: Desired,
    after: Desired,
    *,
    saved: Saved | None,
    rename: tuple[str | None, str | None] = (None, None),
) -> State:
    """`state`, whose configuration was `before`, with `after` instead; without `saved`, as if written."""
    at = saved.at if saved else state.now
    return structs.replace(
        state,
        now=at,
        product=_changed_product(state.product, before, after, rename, at),
        config=_changed_config(state, after, saved, at),
        subscriptions=_changed_subscriptions(state, before, after, saved, at),
        secrets=[
            SecretRow(name=n, secret=s.token, created_at=s.created_at, updated_at=s.updated_at)
            for n, s in after.secrets.items()
        ],
        tombstone=None if after.broker else state.tombstone,
        live=saved.live if saved else state.live,
        ids=[],
    )


def _changed_product(
    row: ProductRow, before: Desired, after: Desired, rename: tuple[str | None, str | None], at: datetime
) -> ProductRow:
    name, description = rename
    if after.variables == before.variables and name is None and description is None:
        return row
    return structs.replace(
        row,
        name=row.name if name is None else name,
        description=row.description if description is None else description,
        variables=after.variables,
        updated_at=at,
    )


def _changed_config(state: State, after: Desired, saved: Saved | None, at: datetime) -> ConfigRow | None:
    if after.broker is None:
        return None
    old = state.config
    return ConfigRow(
        id=saved.config_id if saved else old.id if old else 0,
        product_id=state.product.id,
        **columns(after),
        revision=state.revision + (saved is not None),
        published_revision=0,
        created_at=old.created_at if old else at,
        updated_at=at,
    )


def _changed_subscriptions(
    state: State, before: Desired, after: Desired, saved: Saved | None, at: datetime
) -> list[SubscriptionRow]:
    if after.subscriptions is before.subscriptions:
        return state.subscriptions
    rows = {row.id: row for row in state.subscriptions}
    old = {item.id: item for item in before.subscriptions}
    counts = {one.id: one for one in saved.counts} if saved else {}
    return [
        rows[item.id]
        if old.get(item.id) == item
        else _changed_subscription(item, rows.get(item.id), counts.get(item.id), at)
        for item in after.subscriptions
    ]


def _changed_subscription(
    item: Item, old: SubscriptionRow | None, counts: Counts | None, at: datetime
) -> SubscriptionRow:
    row = SubscriptionRow(**structs.asdict(item), created_at=old.created_at if old else at, updated_at=at)
    kept = counts or old
    if kept is None:
        return row
    return structs.replace(
        row,
        messages_received=kept.messages_received,
        last_message_at=kept.last_message_at,
        actions_executed=kept.actions_executed,
        actions_failed=kept.actions_failed,
    )


def columns(wanted: Desired) -> dict[str, Any]:
    """The configuration in the columns of `mqtt_configs`."""
    topics = wanted.topics
    assert wanted.broker
    broker = structs.asdict(wanted.broker)
    return {
        "broker_host": broker.pop("host"),
        "broker_port": broker.pop("port"),
        **broker,
        "password": wanted.password,
        "client_key": wanted.client_key,
        "topic_prefix": topics.prefix,
        "topic_pattern": topics.pattern,
        "use_shared_subscriptions": topics.use_shared,
        "shared_group": topics.shared_group,
        "qos": topics.qos,
    }


def stored(
    product: ProductRow,
    config: ConfigRow | None,
    subscriptions: list[SubscriptionRow],
    secrets: list[SecretRow],
) -> Desired:
    """The configuration that the rows hold."""
    named = {
        row.name: NamedSecret(token=row.secret, created_at=row.created_at, updated_at=row.updated_at)
        for row in secrets
    }
    if config is None:
        return Desired(variables=product.variables, secrets=named)
    return Desired(
        broker=config.broker,
        password=config.password,
        client_key=config.client_key,
        topics=config.topics,
        variables=product.variables,
        subscriptions=tuple(_item(row) for row in subscriptions),
        secrets=named,
    )


def _item(row: SubscriptionRow) -> Item:
    return Item(
        id=row.id,
        name=row.name,
        topic=row.topic,
        enabled=row.enabled,
        description=row.description,
        actions=row.actions,
        concurrency=row.concurrency,
    )


def _masked(token: str | None) -> Literal["***"] | None:
    return MASK if token else None


def product_answer(row: ProductRow) -> Product:
    """The product as clients see it."""
    return Product(
        id=row.id,
        name=row.name,
        description=row.description,
        variables=row.variables,
        product_key_id=row.product_key_id,
        previous_product_key_id=row.previous_product_key_id,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def config_answer(row: ConfigRow) -> MqttConfig:
    """The configuration as clients see it: secrets are masked."""
    return MqttConfig(
        id=row.id,
        product_id=row.product_id,
        revision=row.revision,
        broker=Broker(
            **structs.asdict(row.broker),
            password=_masked(row.password),
            client_key=_masked(row.client_key),
        ),
        topics=Topics(**structs.asdict(row.topics)),
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def subscription_answer(
    row: SubscriptionRow, wanted: messages.Topics, variables: Mapping[str, str], *, live: bool = True
) -> Subscription:
    """The subscription as clients see it, its topic written out."""
    topic = row.topic or topics.derive(wanted.prefix, wanted.pattern, row.name)
    group = wanted.shared_group if wanted.use_shared else None
    return Subscription(
        id=row.id,
        name=row.name,
        topic=topic,
        topic_derived=row.topic is None,
        topic_filter=topics.shared(topics.fill(topic, variables), group),
        enabled=row.enabled,
        description=row.description,
        actions=row.actions,
        concurrency=row.concurrency,
        stats=_stats(row) if live else None,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def status_answer(row: StatusRow | None) -> messages.ProductStatus | None:
    """The status as clients see it; null before the first heartbeat."""
    if row is None:
        return None
    fields = {
        name: getattr(row, name) for name in messages.ProductStatus.__struct_fields__ if name != "instances"
    }
    return messages.ProductStatus(**fields, instances=row.counts())


def secret_answer(name: str, secret: NamedSecret, used_by: list[str]) -> Secret:
    """The secret as clients see it."""
    return Secret(name=name, created_at=secret.created_at, updated_at=secret.updated_at, used_by=used_by)


def _stats(row: SubscriptionRow) -> Stats:
    return Stats(
        messages_received=row.messages_received,
        last_message_at=row.last_message_at,
        actions_executed=row.actions_executed,
        actions_failed=row.actions_failed,
    )
