"""The smallest effect that leads to the wanted configuration."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from mqtt_shared.messages import Broker, Snapshot, Subscription, Topics
from mqtt_shared.plan import Plan, Target, plan, resolve, step
from mqtt_shared.sealing import Secrets
from mqtt_shared.topics import InvalidTopicError, covers

BROKERS = st.builds(
    Broker,
    host=st.sampled_from(["one.example.com", "two.example.com"]),
    client_id=st.sampled_from([None, "fixed"]),
    keep_alive=st.sampled_from([30, 60]),
    clean_session=st.booleans(),
    protocol=st.sampled_from(["3.1.1", "5"]),
    session_expiry_seconds=st.sampled_from([0, 60]),
    transport=st.sampled_from(["tcp", "websockets"]),
    websocket_path=st.sampled_from(["/mqtt", "/"]),
    tls_min_version=st.sampled_from(["1.2", "1.3"]),
    ca_certificate=st.sampled_from([None, "one"]),
    client_certificate=st.sampled_from([None, "one"]),
)
SECRETS = st.builds(
    Secrets,
    password=st.sampled_from([None, "one", "two"]),
    client_key=st.sampled_from([None, "one", "two"]),
    named=st.dictionaries(st.sampled_from("ab"), st.sampled_from(["one", "two"])),
)
TOPICS = st.builds(
    Topics,
    use_shared=st.booleans(),
    shared_group=st.sampled_from(["bre", "other"]),
    qos=st.integers(0, 2),
)
SUBSCRIPTIONS = st.lists(
    st.builds(
        Subscription,
        id=st.integers(1, 5),
        name=st.sampled_from("ab"),
        topic=st.sampled_from(["a", "b", "c/+", "c/#", "c/d", "#"]),
        enabled=st.booleans(),
        actions=st.lists(st.sampled_from([{"type": "x"}, {"type": "y"}]), max_size=2),
        concurrency=st.sampled_from([1, 16]),
    ),
    max_size=5,
    unique_by=lambda subscription: subscription.id,
)


def _snapshot(broker: Broker | None, topics: Topics | None, subscriptions: list[Subscription]) -> Snapshot:
    return Snapshot(
        product_id=1,
        revision=1,
        issued_at=datetime(2026, 1, 1, tzinfo=UTC),
        broker=broker,
        topics=topics,
        subscriptions=subscriptions,
    )


@st.composite
def targets(draw: st.DrawFn) -> Target:
    broker = draw(st.one_of(st.none(), BROKERS))
    return resolve(_snapshot(broker, draw(TOPICS), draw(SUBSCRIPTIONS)), draw(SECRETS), {})


TARGETS = targets()


def normal(target: Target) -> Target:
    """Without a broker nothing else is of interest."""
    return target if target.broker else Target()


@given(TARGETS, TARGETS)
def test_carrying_out_the_plan_gives_the_wanted_target(applied: Target, wanted: Target) -> None:
    assert step(applied, plan(applied, wanted), wanted) == normal(wanted)


@given(TARGETS)
def test_between_equal_targets_there_is_nothing_to_do(target: Target) -> None:
    assert plan(target, target).is_empty


@given(TARGETS, TARGETS)
def test_never_a_new_connection_where_a_resubscribe_is_enough(applied: Target, wanted: Target) -> None:
    assert (plan(applied, wanted).connection == "keep") == (_connects(applied) == _connects(wanted))


def _connects(target: Target) -> tuple[object, ...]:
    return target.broker, target.secrets.password, target.secrets.client_key


@given(TARGETS, SECRETS)
def test_new_named_secrets_are_a_change_in_memory(applied: Target, given: Secrets) -> None:
    secrets = structs.replace(applied.secrets, named=given.named)
    effect = plan(applied, structs.replace(applied, secrets=secrets))
    assert effect == Plan(secrets=given.named != applied.secrets.named)


@given(TARGETS, TARGETS)
def test_never_resubscribes_what_did_not_change(applied: Target, wanted: Target) -> None:
    effect = plan(applied, wanted)
    unchanged = {f for f, qos in wanted.filters.items() if applied.filters.get(f) == qos}
    assert not unchanged & effect.subscribe.keys()
    assert not unchanged & set(effect.unsubscribe)
    assert all(applied.routes.get(i) != wanted.routes.get(i) for i in effect.routes)


@given(TARGETS, TARGETS)
def test_a_new_qos_is_one_subscribe_without_an_unsubscribe(applied: Target, wanted: Target) -> None:
    effect = plan(applied, wanted)
    assert not effect.subscribe.keys() & set(effect.unsubscribe)


@pytest.mark.parametrize(
    ("before", "after", "effect"),
    [
        ({}, {"keep_alive": 30}, "replace"),
        ({"client_id": "c"}, {"client_id": "c", "keep_alive": 30}, "take_over"),
        ({"client_id": "c"}, {"client_id": "d"}, "replace"),
        ({"client_id": "c"}, {"client_id": "c", "host": "two.example.com"}, "replace"),
        ({"clean_session": False}, {"clean_session": False, "username": "u"}, "take_over"),
        ({"clean_session": False}, {"clean_session": True}, "replace"),
        ({"clean_session": False}, {"clean_session": False, "protocol": "5"}, "take_over"),
        ({"clean_session": False}, {"clean_session": False, "transport": "websockets"}, "take_over"),
        ({"clean_session": False}, {"clean_session": False, "port": 8883, "use_tls": True}, "replace"),
        ({"client_id": "c"}, {"client_id": "c", "client_certificate": "pem"}, "take_over"),
        ({}, {"protocol": "5"}, "replace"),
        ({}, {"session_expiry_seconds": 60}, "replace"),
        ({}, {"transport": "websockets"}, "replace"),
        ({}, {"websocket_path": "/"}, "replace"),
        ({}, {"tls_min_version": "1.3"}, "replace"),
        ({}, {"ca_certificate": "pem"}, "replace"),
    ],
)
def test_connections(before: dict[str, object], after: dict[str, object], effect: str) -> None:
    broker = Broker(host="one.example.com")
    applied = Target(broker=structs.replace(broker, **before))
    wanted = Target(broker=structs.replace(broker, **after))
    assert plan(applied, wanted) == Plan(connection=effect)  # pyright: ignore[reportArgumentType] - of the parameters


def test_open_and_close() -> None:
    target = Target(broker=Broker(host="one.example.com"), filters={"a": 1})
    assert plan(Target(), target).connection == "open"
    assert plan(target, Target()).connection == "close"


@given(SUBSCRIPTIONS, TOPICS)
def test_filters_reach_every_route_and_none_covers_another(
    subscriptions: list[Subscription], topics: Topics
) -> None:
    target = resolve(_snapshot(Broker(host="h"), topics, subscriptions), Secrets(), {})
    subscribed = {
        route.filter: route.topic for route in target.routes.values() if route.filter in target.filters
    }
    for route in target.routes.values():
        assert any(covers(topic, route.topic) for topic in subscribed.values())
    for one in subscribed.values():
        assert not any(other != one and covers(other, one) for other in subscribed.values())


def test_every_subscription_without_a_meaning_is_named() -> None:
    subscriptions = [
        Subscription(id=1, name="good", topic="a/{x}"),
        Subscription(id=2, name="unknown", topic="a/{y}"),
        Subscription(id=3, name="wild", topic="a/{w}"),
        Subscription(id=4, name="off", topic="a/{y}", enabled=False),
    ]
    snapshot = _snapshot(Broker(host="h"), Topics(), subscriptions)
    with pytest.raises(InvalidTopicError) as caught:
        resolve(snapshot, Secrets(), {"x": "1", "w": "b#"})
    text = str(caught.value)
    assert "unknown" in text
    assert "{y}" in text
    assert "wild" in text
    assert "good" not in text
    assert "off" not in text
    kept = resolve(snapshot, Secrets(), {"x": "1", "w": "b"}, keep_unknown=True)
    assert kept.routes[2].topic == "a/{y}"


def test_the_product_wins_over_the_environment() -> None:
    snapshot = structs.replace(
        _snapshot(Broker(host="h"), Topics(), [Subscription(id=1, name="a", topic="{x}/{y}")]),
        variables={"x": "product"},
    )
    target = resolve(snapshot, Secrets(), {"x": "environment", "y": "environment"})
    assert target.filters == {"$share/bre/product/environment": 1}


def test_no_secret_in_a_repr() -> None:
    secrets = Secrets(password="hidden", client_key="hidden", named={"a": "hidden"})
    assert "hidden" not in repr(Target(broker=Broker(host="h"), secrets=secrets))


def test_a_new_client_key_takes_a_new_connection() -> None:
    applied = Target(broker=Broker(host="one.example.com"), secrets=Secrets(client_key="one"))
    wanted = structs.replace(applied, secrets=Secrets(client_key="two"))
    assert plan(applied, wanted) == Plan(connection="replace")


@given(SUBSCRIPTIONS)
def test_a_new_concurrency_changes_routes_only(subscriptions: list[Subscription]) -> None:
    wider = [structs.replace(each, concurrency=256) for each in subscriptions]
    before, after = (
        resolve(_snapshot(Broker(host="h"), Topics(), each), Secrets(), {}) for each in (subscriptions, wider)
    )
    assert plan(before, after) == Plan(routes=sorted(before.routes))
