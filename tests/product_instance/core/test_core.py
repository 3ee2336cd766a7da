"""The decisions of an instance."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqtt_shared.conditions import holds
from mqtt_shared.event import content, message_id
from mqtt_shared.plan import Route, Target
from mqtt_shared.topics import matches
from product_instance.core.backoff import FATAL, USUAL, Backoff
from product_instance.core.configuration import Configuration, compare
from product_instance.core.convergence import Apply, Reconnect, Restore, Situation, Wait, decide
from product_instance.core.counters import CounterBook, Outcome
from product_instance.core.router import Router
from product_instance.core.steps import Steps
from product_instance.core.throttle import Throttle

AT = datetime(2026, 1, 1, tzinfo=UTC)
LEVEL = st.sampled_from(["", "a", "b", "$x"])
TOPICS = st.lists(LEVEL, min_size=1, max_size=4).map("/".join)
FILTERS = st.tuples(
    st.lists(st.one_of(LEVEL, st.just("+")), max_size=3), st.sampled_from(["#", "+", "a", "b"])
).map(lambda parts: "/".join([*parts[0], parts[1]]))


def route(subscription_id: int, topic: str) -> Route:
    return Route(subscription_id=subscription_id, name=f"s{subscription_id}", filter=topic, topic=topic)


# Router


@given(st.lists(FILTERS, max_size=8), TOPICS)
def test_the_router_finds_what_matching_one_by_one_finds(filters: list[str], topic: str) -> None:
    router = Router(route(number, each) for number, each in enumerate(filters))
    expected = [number for number, each in enumerate(filters) if matches(each, topic)]
    for _ in range(2):  # the second time from the cache
        assert [hit.subscription_id for hit in router.match(topic)] == expected


@given(st.lists(FILTERS, min_size=1, max_size=4), TOPICS)
def test_a_message_meets_a_subscription_once(filters: list[str], topic: str) -> None:
    hits = Router(route(1, each) for each in filters).match(topic)
    assert [hit.topic for hit in hits] == [each for each in filters if matches(each, topic)][-1:]


# Backoff


@given(st.integers(), st.booleans())
def test_delays_grow_to_their_bound_and_are_jittered(seed: int, fatal: bool) -> None:
    pace = FATAL if fatal else USUAL
    backoff = Backoff(Random(seed))
    delays = [backoff.failed(0, fatal=fatal) for _ in range(40)]
    for number, delay in enumerate(delays):
        ceiling = min(pace.most, pace.first * 2**number)
        assert (ceiling / 3 if number or fatal else 0) <= delay <= ceiling


def test_only_what_held_for_a_while_starts_the_delays_anew() -> None:
    backoff = Backoff(Random(1), stable_seconds=10)
    for _ in range(8):
        backoff.failed(0)
    backoff.succeeded(100)
    assert backoff.failed(105) >= USUAL.most / 3
    backoff.succeeded(200)
    assert backoff.failed(210) <= USUAL.first


@pytest.mark.parametrize("away_seconds", [0, 1, 5, 30, 300])
def test_a_thousand_that_lose_one_broker_do_not_come_at_once(away_seconds: float) -> None:
    tries, back = Counter[int](), list[float]()
    for seed in range(1000):
        backoff, at = Backoff(Random(seed)), 0.0
        while not back or len(back) <= seed:
            at += backoff.failed(at)
            tries[int(at * 10)] += 1
            if at >= away_seconds:
                back.append(at - away_seconds)
    # In any tenth of a second; and nobody waits for longer than the broker was away, or the longest delay.
    assert max(tries.values()) <= 160
    assert max(back) <= min(USUAL.most, max(1, 4 * away_seconds))


# What to do next


@given(
    st.builds(
        Situation,
        apply_due=st.one_of(st.none(), st.floats(0, 100)),
        restore_due=st.one_of(st.none(), st.floats(0, 100)),
        reconnect_requested=st.booleans(),
        connected=st.booleans(),
    ),
    st.floats(0, 100),
)
def test_nothing_that_is_due_waits(situation: Situation, now: float) -> None:
    step = decide(situation, now)
    dues = [due for due in (situation.apply_due, situation.restore_due) if due is not None]
    overdue = [due for due in dues if due <= now]
    if isinstance(step, Wait):
        assert not overdue
        assert step.seconds == (min(dues) - now if dues else None)
        assert not (situation.reconnect_requested and situation.connected)
    elif isinstance(step, Apply):
        assert situation.apply_due == min(dues)
    elif isinstance(step, Restore):
        assert situation.restore_due == min(dues)
    else:
        assert step == Reconnect()
        assert not overdue


def test_two_that_are_due_take_turns() -> None:
    assert decide(Situation(apply_due=1, restore_due=2), 3) == Apply()
    assert decide(Situation(apply_due=2, restore_due=1), 3) == Restore()


# Which configuration wins


def configuration(revision: int | None, digest: str = "d") -> Configuration:
    return Configuration(source="nats", target=Target(), revision=revision, digest=digest)


@pytest.mark.parametrize(
    ("known", "found", "standing"),
    [
        (None, configuration(1), "newer"),
        (configuration(None), configuration(1), "newer"),
        (configuration(1), configuration(2), "newer"),
        (configuration(2), configuration(1), "older"),
        (configuration(2), configuration(2), "same"),
        (configuration(2), configuration(2, "other"), "drifted"),
    ],
)
def test_which_wins(known: Configuration | None, found: Configuration, standing: str) -> None:
    assert compare(known, found) == standing


# Counting


OUTCOMES = st.builds(
    Outcome, subscription_id=st.integers(1, 3), executed=st.integers(0, 3), failed=st.integers(0, 3)
)


@given(st.lists(st.tuples(st.lists(OUTCOMES, max_size=3), st.floats(0, 60), st.integers(0, 100))))
def test_counts_are_exact_and_only_rise(messages: list[tuple[list[Outcome], float, int]]) -> None:
    book = CounterBook()
    before = 0
    for outcomes, seconds, at in messages:
        book.settled(outcomes, received_at=AT + timedelta(seconds=at), seconds=seconds)
        total = sum(counters.messages_received for counters in book.counters().values())
        assert total == before + len(outcomes)
        before = total
    all_outcomes = [outcome for outcomes, _, _ in messages for outcome in outcomes]
    for subscription_id, counters in book.counters().items():
        mine = [each for each in all_outcomes if each.subscription_id == int(subscription_id)]
        assert counters.messages_received == len(mine)
        assert counters.actions_executed == sum(each.executed for each in mine)
        assert counters.actions_failed == sum(each.failed for each in mine)
        ats = [at for outcomes, _, at in messages for each in outcomes if each in mine]
        assert counters.last_message_at == AT + timedelta(seconds=max(ats))
    latency = book.latency()
    assert latency.counts == sorted(latency.counts)
    assert latency.counts[-1] == len(messages)
    for bound, count in zip(latency.bounds, latency.counts, strict=False):
        assert count == sum(seconds <= bound for _, seconds, _ in messages)


# Conditions


@pytest.mark.parametrize(
    ("conditions", "payload", "expected"),
    [
        ({}, None, True),
        ({"a": 1}, {"a": 1}, True),
        ({"a": 1}, {"a": 1.0}, True),
        ({"a": 1}, {"a": True}, False),
        ({"a": True}, {"a": True}, True),
        ({"a": None}, {"a": None}, True),
        ({"a": None}, {}, False),
        ({"a.b": "x"}, {"a": {"b": "x"}}, True),
        ({"a.b": "x"}, {"a.b": "x"}, True),
        ({"a.1.b": "x"}, {"a": [{}, {"b": "x"}]}, True),
        ({"a.9": "x"}, {"a": ["x"]}, False),
        ({"a": ["x", "y"]}, {"a": "y"}, True),
        ({"a": ["x", "y"]}, {"a": "z"}, False),
        ({"a": []}, {"a": "z"}, False),
        ({"a": "ANY"}, {}, True),
        ({"a": "x", "b": "y"}, {"a": "x"}, False),
        ({"a": "x"}, "text", False),
        ({"": "x"}, {"": "x"}, True),
        ({"a." + "9" * 5000: 1}, {"a": [1]}, False),
    ],
)
def test_conditions(conditions: dict[str, Any], payload: object, expected: bool) -> None:
    assert holds(conditions, payload) is expected


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text()),
    lambda below: st.one_of(st.lists(below), st.dictionaries(st.text(), below)),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), JSON), JSON)
def test_no_condition_and_no_payload_breaks_it(conditions: dict[str, Any], payload: object) -> None:
    assert holds(conditions, payload) in (True, False)


# Events and templates


@pytest.mark.parametrize(
    ("raw", "payload", "payload_base64"),
    [
        (b'{"a": 1}', {"a": 1}, None),
        (b"12", 12, None),
        (b"plain text", "plain text", None),
        (b"", "", None),
        (b"\xff\x00", None, "/wA="),
    ],
)
def test_payloads(raw: bytes, payload: object, payload_base64: str | None) -> None:
    assert content(raw) == (payload, payload_base64)


def test_deep_nesting_is_text() -> None:
    deep = b"[" * 100_000
    assert content(deep) == (deep.decode(), None)


def test_the_id_of_a_message_is_stable_and_its_own() -> None:
    first = message_id("client", 1, "topic", b"payload")
    assert first == message_id("client", 1, "topic", b"payload")
    others = {
        message_id("client2", 1, "topic", b"payload"),
        message_id("client", 2, "topic", b"payload"),
        message_id("client", 1, "topicp", b"ayload"),
    }
    assert len(others | {first}) == 4


def test_the_same_is_said_once_in_a_while() -> None:
    throttle = Throttle(60)
    said = [throttle.allows(key, now) for key, now in [("a", 0), ("a", 59), ("b", 59), ("a", 60)]]
    assert said == [True, False, True, True]


@pytest.mark.parametrize(
    ("action", "seconds"),
    [
        ({"type": "http_webhook"}, 30),
        ({"type": "http_webhook", "config": {"timeout_seconds": 4}}, 4),
        ({"type": "http_webhook", "config": {"timeout_seconds": 4}, "timeout_seconds": 7}, 7),
        ({"type": "made_here", "config": {"timeout_seconds": 4}}, 30),
    ],
)
def test_how_long_an_attempt_may_take(action: dict[str, Any], seconds: float) -> None:
    (step,) = Steps(30).of(1, [action])
    assert step.timeout_seconds == seconds
