"""What it takes to get from the applied configuration to the wanted one: the smallest effect, as a value.

No I/O. config_service uses it to say beforehand what a write will do; product_instance carries it out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct, field

from . import topics
from .covering import widest
from .messages import Broker
from .sealing import Secrets

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .messages import Snapshot

__all__ = ["Plan", "Route", "Target", "plan", "resolve", "step"]

ConnectionEffect = Literal["keep", "open", "replace", "take_over", "close"]


class Route(Struct, frozen=True, kw_only=True):
    """What is done with the messages of one subscription."""

    subscription_id: int
    name: str
    filter: str
    """As sent to the broker, with `$share/...`."""
    topic: str
    """The same without `$share/group/`: what an incoming topic is compared with."""
    actions: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    concurrency: int = 16
    """How many topics are worked on side by side."""


class Target(Struct, frozen=True, kw_only=True):
    """A configuration in the terms of an instance: one connection, filters on it, routes behind them.

    `broker` is null when nothing is to be consumed. In `secrets` each value may stand for the secret itself
    (config_service has tokens at rest): equal values mean the same secret. `repr` shows none.
    """

    broker: Broker | None = None
    secrets: Secrets = Secrets()
    filters: dict[str, int] = field(default_factory=dict[str, int])
    """Filter as sent to the broker, and its QoS; without those that a wider one covers."""
    routes: dict[int, Route] = field(default_factory=dict[int, Route])
    """By subscription id, in the order of the subscriptions."""

    def __repr__(self) -> str:
        return f"Target(broker={self.broker!r}, filters={self.filters!r}, routes={list(self.routes)!r})"


class Plan(Struct, frozen=True, kw_only=True):
    """The smallest effect that leads to the wanted configuration.

    connection: `keep`; `open` where there was none; `replace`, make before break; `take_over`, the new
    connection has the client id of the old one at the same broker, which ends the old one; `close`.
    subscribe, unsubscribe: on the connection that is kept; empty when the connection is not kept, since a new
    one subscribes everything.
    routes: subscription ids whose actions, topics or concurrency change in memory, or that come or go.
    secrets: the named secrets, which actions refer to, change in memory.
    """

    connection: ConnectionEffect = "keep"
    subscribe: dict[str, int] = field(default_factory=dict[str, int])
    unsubscribe: list[str] = field(default_factory=list[str])
    routes: list[int] = field(default_factory=list[int])
    secrets: bool = False

    @property
    def is_empty(self) -> bool:
        """Nothing to do."""
        return self.connection == "keep" and not (
            self.subscribe or self.unsubscribe or self.routes or self.secrets
        )


def resolve(
    snapshot: Snapshot, secrets: Secrets, environment: Mapping[str, str], *, keep_unknown: bool = False
) -> Target:
    """The target of a snapshot. Variables come from the product, then from the instance's environment.

    `keep_unknown` leaves a variable without a value as it is (to compare two targets where the
    environment is not known).

    Raises:
        InvalidTopicError: an enabled subscription has a variable without a value, or its topic is no valid
            filter once the values are in; the text names every such subscription.
    """
    if snapshot.broker is None or snapshot.topics is None:
        return Target()
    values = {**environment, **snapshot.variables}
    group = snapshot.topics.shared_group if snapshot.topics.use_shared else None
    routes, faults = dict[int, Route](), list[str]()
    for subscription in snapshot.subscriptions:
        if not subscription.enabled:
            continue
        try:
            topic = _topic(subscription.topic, values, keep_unknown=keep_unknown)
        except topics.InvalidTopicError as error:
            faults.append(f"subscription {subscription.name}: topic {error}")
            continue
        routes[subscription.id] = Route(
            subscription_id=subscription.id,
            name=subscription.name,
            filter=topics.shared(topic, group),
            topic=topic,
            actions=subscription.actions,
            concurrency=subscription.concurrency,
        )
    if faults:
        raise topics.InvalidTopicError("; ".join(faults))
    filters = dict.fromkeys(_widest(routes.values()), snapshot.topics.qos)
    return Target(broker=snapshot.broker, secrets=secrets, filters=filters, routes=routes)


def _widest(routes: Iterable[Route]) -> list[str]:
    """The filters that no other one covers.

    A broker sends one copy of a message for each filter that matches (MQTT 3.1.1, 3.3.5), in a shared group
    perhaps to different members, and nothing tells that the copies are one message. With a covering filter
    alone it sends one, and the instance finds all subscriptions by the topic.
    """
    filters = {route.filter: route.topic for route in routes}
    kept = widest(filters.values())
    return [each for each, topic in filters.items() if topic in kept]


def _topic(template: str, values: Mapping[str, str], *, keep_unknown: bool) -> str:
    if keep_unknown:
        return topics.substitute(
            template, {name: f"{{{name}}}" for name in topics.variables(template)} | dict(values)
        )
    topic = topics.substitute(template, values)
    if faults := topics.faults(topic):
        raise topics.InvalidTopicError("; ".join(faults))
    return topic


def plan(applied: Target, wanted: Target) -> Plan:
    """The smallest plan from `applied` to `wanted`.

    Never a new connection where SUBSCRIBE and UNSUBSCRIBE are enough, never a SUBSCRIBE for a filter that
    stays as it is, nothing at all between equal targets.
    """
    connection = _connection(applied, wanted)
    routes = [
        subscription_id
        for subscription_id in sorted(applied.routes.keys() | wanted.routes.keys())
        if applied.routes.get(subscription_id) != wanted.routes.get(subscription_id)
    ]
    secrets = applied.secrets.named != wanted.secrets.named
    if connection != "keep":
        return Plan(connection=connection, routes=routes, secrets=secrets)
    return Plan(
        # SUBSCRIBE with another QoS replaces the subscription (MQTT 3.1.1, 3.8.4): no UNSUBSCRIBE before it.
        subscribe={f: qos for f, qos in wanted.filters.items() if applied.filters.get(f) != qos},
        unsubscribe=[f for f in applied.filters if f not in wanted.filters],
        routes=routes,
        secrets=secrets,
    )


def _connection(applied: Target, wanted: Target) -> ConnectionEffect:
    if _credentials(applied) == _credentials(wanted):
        return "keep"
    if wanted.broker is None:
        return "keep" if applied.broker is None else "close"
    if applied.broker is None:
        return "open"
    return "take_over" if _same_session(applied.broker, wanted.broker) else "replace"


def _credentials(target: Target) -> tuple[Broker | None, str | None, str | None]:
    """What a connection is made with. A CONNECT says it once: any change takes a new connection."""
    return target.broker, target.secrets.password, target.secrets.client_key


def _same_session(old: Broker, new: Broker) -> bool:
    """Would both connections stand under one client id at one broker? (MQTT 3.1.1, 3.1.4-2; MQTT 5, 3.1.4-3)

    A broker knows a session by its client id alone: another protocol, transport, user or certificate at the
    same host and port finds the same session. An instance makes a client id of its own where the
    configuration has none: a new one for each connection of a clean session, a stable one for a session that
    persists.
    """
    old_id, new_id = (old.client_id or "", new.client_id or "")
    stable = bool(new_id) or not (old.clean_session or new.clean_session)
    return stable and old_id == new_id and (old.host, old.port) == (new.host, new.port)


def step(applied: Target, effect: Plan, wanted: Target) -> Target:
    """The target that carrying out `effect` on `applied` leads to; `wanted` supplies the values.

    Only what the plan names is taken from `wanted`: that is what the tests check.
    """
    if effect.connection == "close":
        return Target()
    kept = effect.connection == "keep"
    filters = {f: qos for f, qos in applied.filters.items() if f not in effect.unsubscribe} | effect.subscribe
    routes = {i: route for i, route in applied.routes.items() if i not in effect.routes}
    routes |= {i: wanted.routes[i] for i in effect.routes if i in wanted.routes}
    connects_with = applied if kept else wanted
    return Target(
        broker=connects_with.broker,
        secrets=Secrets(
            password=connects_with.secrets.password,
            client_key=connects_with.secrets.client_key,
            named=(wanted if effect.secrets else applied).secrets.named,
        ),
        filters=filters if kept else wanted.filters,
        routes=routes,
    )
