"""What the built-in actions would send, and what they refuse to send."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from mqtt_shared.event import Event
from mqtt_shared.outgoing import (
    HttpRequest,
    InvalidActionError,
    Mail,
    MqttMessage,
    NatsMessage,
    compose,
    rendered,
)

EVENT = Event(
    product_id=7,
    instance_id="one",
    subscription="s",
    topic="a/b",
    payload={"name": "x", "bad": "two\r\nlines", "wild": "a/#"},
    payload_base64=None,
    qos=1,
    retain=False,
    received_at=datetime(2026, 1, 2, tzinfo=UTC),
    message_id="m1",
    revision=3,
)


def composed(action_type: str, **config: Any) -> object:
    action = {"type": action_type, "config": config}
    return compose(action_type, rendered(action, EVENT, {"site": "north"}, {"token": "***"}), EVENT)


def test_http_request() -> None:
    request = composed(
        "http_webhook",
        url="https://example.com/{{ payload.name }}",
        headers={"Authorization": "Bearer {{ secrets.token }}"},
    )
    assert isinstance(request, HttpRequest)
    assert (request.method, request.url) == ("POST", "https://example.com/x")
    assert request.headers == {
        "Idempotency-Key": "m1",
        "Content-Type": "application/json",
        "Authorization": "Bearer ***",
    }
    assert '"message_id":"m1"' in request.body
    text = composed("http_webhook", url="http://example.com", body="hello", headers={"idempotency-key": "k"})
    assert isinstance(text, HttpRequest)
    assert text.headers == {"Content-Type": "text/plain; charset=utf-8", "idempotency-key": "k"}
    get = composed("http_webhook", url="http://example.com", method="GET")
    assert isinstance(get, HttpRequest)
    assert (get.body, get.headers) == ("", {"Idempotency-Key": "m1"})


def test_mail() -> None:
    mail = composed("smtp_email", to="a@example.com, b@example.com", subject="{{ payload.bad }}", body="b")
    assert mail == Mail(to=["a@example.com", "b@example.com"], subject="two  lines", body="b")


def test_messages() -> None:
    assert composed("mqtt_publish", topic="out/{{ payload.name }}", payload="p", qos=0, retain=True) == (
        MqttMessage(topic="out/x", payload="p", qos=0, retain=True)
    )
    assert composed("nats_publish", subject="out.{{ payload.name }}", payload="p") == (
        NatsMessage(subject="out.x", payload="p", headers={"Idempotency-Key": "m1"})
    )
    answer = composed("healthcheck_response")
    assert isinstance(answer, MqttMessage)
    assert answer.topic == "a/b/response"
    assert composed("create_invoice", anything="x") is None


@pytest.mark.parametrize(
    ("action_type", "config", "words"),
    [
        ("http_webhook", {}, r"config\.url is missing"),
        ("http_webhook", {"url": "file:///etc/passwd"}, r"config\.url must be"),
        ("http_webhook", {"url": "http://example.com:99999/"}, r"config\.url must be"),
        ("http_webhook", {"url": "http://example.com/{{ payload.bad }}"}, r"config\.url must be"),
        ("http_webhook", {"url": "http://example.com", "method": "TRACE"}, r"config\.method"),
        ("http_webhook", {"url": "http://example.com", "headers": {"A": "{{ payload.bad }}"}}, r"headers\.A"),
        ("http_webhook", {"url": "http://example.com", "headers": {"A b": "x"}}, "no name"),
        ("http_webhook", {"url": "{{ secrets.nobody }}"}, r"config\.url: secrets\.nobody is undefined"),
        ("smtp_email", {"subject": "s", "body": "b"}, r"config\.to"),
        ("smtp_email", {"to": "a@example.com{{ payload.bad }}", "subject": "s"}, r"config\.to"),
        ("mqtt_publish", {"topic": "{{ payload.wild }}"}, r"config\.topic"),
        ("mqtt_publish", {"topic": "a", "qos": 3}, r"config\.qos"),
        ("nats_publish", {"subject": "a b"}, r"config\.subject"),
        ("nats_publish", {"subject": "$KV.MQTT_CONFIG.1"}, r"config\.subject"),
    ],
)
def test_refused(action_type: str, config: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidActionError, match=words):
        composed(action_type, **config)
