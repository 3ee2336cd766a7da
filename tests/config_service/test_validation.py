"""Bodies: every fault at once, each with its place, a message and a stable type."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config_service.core.errors import InvalidInputError
from config_service.core.inputs import (
    ConfigInput,
    ProductInput,
    SubscriptionInput,
    SubscriptionPatch,
    TokenInput,
)
from config_service.core.validation import MAX_FAULTS, MalformedJsonError, convert, faults, parse, read
from mqtt_shared.messages import Heartbeat


def told(raw: str | bytes, kind: Any) -> dict[str, str]:
    """The faults of a body: place to type."""
    with pytest.raises(InvalidInputError) as caught:
        read(raw.encode() if isinstance(raw, str) else raw, kind)
    return {".".join(map(str, fault.loc)): fault.type for fault in caught.value.faults}


def test_every_fault_is_told_at_once() -> None:
    body: dict[str, Any] = {
        "broker": {
            "port": "x",
            "keep_alive": 1.0,
            "use_tls": None,
            "verify_cert": 1,
            "zz": 1,
            "username": "u" * 256,
        },
        "topics": {"qos": 3, "shared_group": "a/b", "prefix": ""},
        "more": [],
    }
    assert told(json.dumps(body), ConfigInput) == {
        "body.broker.host": "missing",
        "body.broker.port": "wrong_type",
        "body.broker.keep_alive": "wrong_type",
        "body.broker.use_tls": "null_not_allowed",
        "body.broker.verify_cert": "wrong_type",
        "body.broker.zz": "unknown_field",
        "body.broker.username": "too_long",
        "body.topics.qos": "too_large",
        "body.topics.shared_group": "pattern",
        "body.topics.prefix": "too_short",
        "body.more": "unknown_field",
    }


def test_a_key_that_stands_twice_is_told_with_everything_else() -> None:
    raw = '{"broker": {"host": "a", "host": "b", "port": 0}, "broker": {"host": "a", "port": 0, "port": 1}}'
    assert told(raw, ConfigInput) == {"body.broker": "duplicate_key", "body.broker.port": "duplicate_key"}


@pytest.mark.parametrize(
    ("raw", "where"),
    [
        (b"", "line 1 column 1"),
        (b'{"broker": ', "line 1 column 12"),
        (b'{"a": 1}\n{', "line 2 column 1"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": -Infinity}', "-Infinity"),
        (b"\xff\xfe", "byte 0"),
        (b"{'a': 1}", "line 1 column 2"),
    ],
)
def test_what_is_not_json_says_where(raw: bytes, where: str) -> None:
    with pytest.raises(MalformedJsonError, match=where):
        parse(raw)


@pytest.mark.parametrize("depth", [33, 60, 5000, 400_000])
@pytest.mark.parametrize("brackets", ["[]", '{"":}'])
def test_deep_nesting_is_a_fault_and_no_crash(depth: int, brackets: str) -> None:
    half = len(brackets) - 1
    raw = brackets[:half] * depth + "1" + brackets[half:] * depth
    assert set(told(raw, ConfigInput).values()) >= {"too_deep"}


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ('"a\\u0000b"', "nul_character"),
        ('"\\ud800"', "surrogate"),
        ("9223372036854775808", "number_too_large"),
        ("1e999", "number_too_large"),
        ("9" * 5000, "number_too_large"),
    ],
)
def test_what_the_database_cannot_hold_is_refused_at_any_depth(value: str, kind: str) -> None:
    raw = f'{{"name": "a", "actions": [{{"type": "own", "config": {{"x": [{value}]}}}}]}}'
    assert told(raw, SubscriptionInput) == {"body.actions.0.config.x.0": kind}


def test_a_key_with_a_surrogate_is_named_in_valid_unicode() -> None:
    assert told('{"a\\ud800": 1, "host": 1}', ProductInput)["body.a\ufffd"] == "surrogate"


def test_a_pattern_does_not_let_a_line_feed_through() -> None:
    assert told('{"name": "paid\\n"}', SubscriptionInput) == {"body.name": "pattern"}


@pytest.mark.parametrize("count", [MAX_FAULTS + 1, 100_000])
def test_the_number_of_faults_is_bounded(count: int) -> None:
    raw = json.dumps({"name": "a", "variables": {f"{n}x": n for n in range(count)}})
    assert len(told(raw, ProductInput)) == MAX_FAULTS


def test_known_actions_are_checked_and_others_are_free() -> None:
    actions: list[Any] = [
        {
            "type": "http_webhook",
            "config": {"url": "ftp://example.com", "method": "get", "timeout_seconds": 0},
        },
        {"type": "http_webhook", "config": {"url": "https://example.com:99999/"}, "zz": 1},
        {"type": "http_webhook", "config": {"url": "https://me:made-up@example.com/"}},
        {"type": "http_webhook", "config": {"url": "https://example.com", "headers": {"A B": "a\nb"}}},
        {"type": "smtp_email"},
        {"type": "mqtt_publish", "config": {"topic": "a/+"}},
        {"type": "nats_publish", "config": {"subject": "a..b"}},
        {"type": "healthcheck_response", "config": {"x": 1}},
        {"type": 7},
        {"name": "without type"},
        {"type": ""},
        "no object",
        {"type": "own", "conditions": [], "config": None, "name": 1, "description": "d" * 1001},
        {"type": "own", "anything": {"at": ["all"]}},
    ]
    assert told(json.dumps({"name": "a", "actions": actions}), SubscriptionInput) == {
        "body.actions.0.config.url": "pattern",
        "body.actions.0.config.method": "not_one_of",
        "body.actions.0.config.timeout_seconds": "too_small",
        "body.actions.1.config.url": "url_host",
        "body.actions.1.zz": "unknown_field",
        "body.actions.2.config.url": "url_credentials",
        "body.actions.3.config.headers.A B": "pattern",
        "body.actions.4.config.to": "missing",
        "body.actions.4.config.subject": "missing",
        "body.actions.4.config.body": "missing",
        "body.actions.5.config.topic": "pattern",
        "body.actions.6.config.subject": "pattern",
        "body.actions.7.config.x": "unknown_field",
        "body.actions.8.type": "wrong_type",
        "body.actions.9.type": "missing",
        "body.actions.10.type": "too_short",
        "body.actions.11": "wrong_type",
        "body.actions.12.conditions": "wrong_type",
        "body.actions.12.config": "null_not_allowed",
        "body.actions.12.name": "wrong_type",
        "body.actions.12.description": "too_long",
    }


@pytest.mark.parametrize("at", ["2026-01-31", "2026-01-31T08:00:00", "0001-01-01T00:00:00+14:00", 5, None])
def test_times_need_a_zone_and_a_place_in_the_calendar(at: object) -> None:
    body = {"product_id": 1, "instance_id": "i", "boot_id": "b", "seq": 1, "sent_at": at}
    found = told(json.dumps({**body, "started_at": "2026-01-31T08:00:00Z"}), Heartbeat)
    assert found == {"body.sent_at": "invalid_time"}


def test_a_heartbeat_may_have_fields_of_a_newer_version() -> None:
    at = "2026-01-31T08:00:00Z"
    body = {"product_id": 1, "instance_id": "i", "boot_id": "b", "seq": 1, "sent_at": at, "started_at": at}
    assert read(json.dumps({**body, "of_tomorrow": {}}).encode(), Heartbeat).seq == 1


def test_no_message_quotes_a_value() -> None:
    body = {"broker": {"host": "h", "password": ["made-up-secret"], "port": "made-up-secret"}}
    with pytest.raises(InvalidInputError) as caught:
        read(json.dumps(body).encode(), ConfigInput)
    assert "made-up-secret" not in str(caught.value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)
keys = st.sampled_from(
    ["broker", "topics", "host", "name", "actions", "type", "config", "role", "sent_at", "x"]
)
bodies = st.dictionaries(keys, json_values | st.dictionaries(keys, json_values, max_size=4), max_size=5)


@given(bodies, st.sampled_from([ConfigInput, SubscriptionInput, SubscriptionPatch, ProductInput, TokenInput]))
def test_any_json_is_either_taken_or_told_in_faults(body: dict[str, Any], kind: Any) -> None:
    if found := faults(body, kind):
        assert all(fault.loc[0] == "body" and fault.msg and fault.type for fault in found)
    else:
        # What has no fault, msgspec takes as well: the two never disagree.
        assert isinstance(convert(body, kind), kind)


@given(st.binary(max_size=200) | bodies.map(lambda body: json.dumps(body).encode()))
def test_any_bytes_are_json_or_told(raw: bytes) -> None:
    with contextlib.suppress(MalformedJsonError, InvalidInputError):
        parse(raw)


MAIL = {"to": "ann@example.com", "subject": "made up", "body": "made up"}


@pytest.mark.parametrize(
    ("to", "place", "fault"),
    [
        (7, "", "wrong_type"),
        (None, "", "null_not_allowed"),
        ("", "", "too_short"),
        ([], "", "too_short"),
        ([7], ".0", "wrong_type"),
        (["ann@example.com", "a\nb"], ".1", "pattern"),
    ],
)
def test_mail_addresses(to: Any, place: str, fault: str) -> None:
    body = {"name": "a", "actions": [{"type": "smtp_email", "config": {**MAIL, "to": to}}]}
    assert told(json.dumps(body), SubscriptionInput) == {f"body.actions.0.config.to{place}": fault}


@pytest.mark.parametrize("subject", ["$KV.MQTT_CONFIG.1", "$SYS", "a..b", "a.*", "a b"])
def test_subjects_that_cannot_be_published_to(subject: str) -> None:
    action = {"type": "nats_publish", "config": {"subject": subject}}
    found = told(json.dumps({"name": "a", "actions": [action]}), SubscriptionInput)
    assert found == {"body.actions.0.config.subject": "pattern"}


def test_what_a_missing_group_is_told_with() -> None:
    body = {"broker": {"host": "", "port": 0}, "topics": {"use_shared": True, "shared_group": None}}
    assert told(json.dumps(body), ConfigInput) == {
        "body.broker.host": "too_short",
        "body.broker.port": "too_small",
        "body.topics.shared_group": "missing",
    }


def test_actions_take_all_that_the_reference_promises() -> None:
    tried = {"timeout_seconds": 10, "retries": 3, "retry_backoff_seconds": 1}
    actions: list[Any] = [
        {
            "type": "http_webhook",
            "config": {"url": "https://example.com/orders/{{ payload.id }}", "body": "{{ payload.id }}"},
            **tried,
        },
        {
            "type": "mqtt_publish",
            "config": {"topic": "a/{{ payload.id }}", "qos": 2, "retain": True},
            **tried,
        },
        {"type": "nats_publish", "config": {"subject": "orders.{{ payload.id }}"}, **tried},
        {"type": "made_here", "config": {"text": "{{ payload.id }}"}, **tried},
        {"type": "smtp_email", "config": {**MAIL, "to": ["ann@example.com", "{{ payload.mail }}"]}},
        {"type": "smtp_email", "config": {**MAIL, "to": "ann@example.com, bob@example.com"}},
    ]
    read(json.dumps({"name": "a", "actions": actions}).encode(), SubscriptionInput)


def test_broken_templates_and_limits_are_told() -> None:
    actions: list[Any] = [
        {"type": "http_webhook", "config": {"url": "https://example.com", "body": "{{ bad"}, "retries": 21},
        {"type": "made_here", "timeout_seconds": "long", "retries": 1.5},
    ]
    found = told(json.dumps({"name": "a", "actions": actions}), SubscriptionInput)
    assert found == {
        "body.actions.0.config.body": "template",
        "body.actions.0.retries": "out_of_range",
        "body.actions.1.timeout_seconds": "wrong_type",
        "body.actions.1.retries": "wrong_type",
    }
