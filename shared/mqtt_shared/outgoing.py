"""What a built-in action sends: its settings with the event put in. No I/O.

`config_service` shows it before anything is sent; `product_instance` sends it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from .messages import encode
from .templates import TemplateError, render, values

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .event import Event

__all__ = [
    "BUILT_IN",
    "HttpRequest",
    "InvalidActionError",
    "Mail",
    "MqttMessage",
    "NatsMessage",
    "Outgoing",
    "compose",
    "rendered",
]

RESPONSE = "/response"
_HTTP_METHODS = ("DELETE", "GET", "PATCH", "POST", "PUT")
_WITHOUT_BODY = ("DELETE", "GET")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")  # RFC 9110, 5.6.2
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
# What starts with $ is the server's own: the bucket of snapshots is there.
_SUBJECT = re.compile(r"[^\s.*>\x00$][^\s.*>\x00]*(\.[^\s.*>\x00]+)*")
# Enough to keep nonsense out of a mail's envelope (RFC 5321, 4.1.2); the mail server knows the rest.
_ADDRESS = re.compile(r"[^\s,;<>@\"\\]{1,64}@[^\s,;<>@\"\\]{1,255}")
_MOST_ADDRESSES = 100


class InvalidActionError(ValueError):
    """The action cannot be carried out with this event; the text names the setting and what is wrong."""


class HttpRequest(Struct, frozen=True, kw_only=True):
    """`http_webhook`."""

    method: str
    url: str
    headers: dict[str, str]
    body: str


class Mail(Struct, frozen=True, kw_only=True):
    """`smtp_email`."""

    to: list[str]
    subject: str
    body: str


class MqttMessage(Struct, frozen=True, kw_only=True):
    """`mqtt_publish` and `healthcheck_response`."""

    topic: str
    payload: str
    qos: int = 1
    retain: bool = False


class NatsMessage(Struct, frozen=True, kw_only=True):
    """`nats_publish`."""

    subject: str
    payload: str
    headers: dict[str, str]


Outgoing = HttpRequest | Mail | MqttMessage | NatsMessage


def rendered(
    action: Mapping[str, Any], event: Event, variables: Mapping[str, str], secrets: Mapping[str, str]
) -> dict[str, Any]:
    """The `config` of an action with all its templates rendered.

    Raises:
        InvalidActionError: a template is wrong, or names what is not there.
    """
    config = cast("dict[str, Any]", action.get("config") or {})
    try:
        return render(config, values(event, variables, secrets), "config")
    except TemplateError as error:
        raise InvalidActionError(str(error)) from None


def compose(action_type: str, config: Mapping[str, Any], event: Event) -> Outgoing | None:
    """What an action of a built-in type sends; null when it sends nothing, or is of another type.

    Raises:
        InvalidActionError: a rendered setting is missing or cannot be used.
    """
    make = _COMPOSERS.get(action_type)
    return make(config, event) if make else None


def _http_request(config: Mapping[str, Any], event: Event) -> HttpRequest:
    method = str(config.get("method") or "POST").upper()
    if method not in _HTTP_METHODS:
        raise InvalidActionError(f"config.method must be one of {', '.join(_HTTP_METHODS)}")
    body = config.get("body")
    if body is None:
        body = "" if method in _WITHOUT_BODY else _encoded(event)
    headers = {"Idempotency-Key": event.message_id}
    if body:
        headers["Content-Type"] = "application/json" if _is_json(body) else "text/plain; charset=utf-8"
    return HttpRequest(
        method=method,
        url=_url(_text(config, "url")),
        headers=_merged(headers, _headers(config.get("headers") or {})),
        body=str(body),
    )


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or re.search(r"[\s\x00-\x1f\x7f]", text):
        raise InvalidActionError("config.url must be an http:// or https:// URL with a host, without spaces")
    return text


def _headers(given: Mapping[str, Any]) -> dict[str, str]:
    for name, value in given.items():
        if not _HEADER_NAME.fullmatch(name):
            raise InvalidActionError(f"config.headers: {name!r} is no name of an HTTP header")
        if not isinstance(value, str) or _CONTROL.search(value):
            raise InvalidActionError(f"config.headers.{name} must be one line of text")
    return {name: cast("str", value) for name, value in given.items()}


def _merged(defaults: dict[str, str], given: dict[str, str]) -> dict[str, str]:
    names = {name.lower() for name in given}
    return {name: value for name, value in defaults.items() if name.lower() not in names} | given


def _mail(config: Mapping[str, Any], _event: Event) -> Mail:
    given: object = config.get("to") or ()
    parts = given.split(",") if isinstance(given, str) else cast("list[object]", given)
    to = [str(part).strip() for part in parts if str(part).strip()]
    if not 0 < len(to) <= _MOST_ADDRESSES or not all(_ADDRESS.fullmatch(each) for each in to):
        raise InvalidActionError(f"config.to must hold 1 to {_MOST_ADDRESSES} mail addresses")
    # A line break from a payload must not become a header of its own (RFC 5322, 2.2).
    subject = _CONTROL.sub(" ", str(config.get("subject") or ""))
    return Mail(to=to, subject=subject, body=str(config.get("body") or ""))


def _mqtt_message(config: Mapping[str, Any], event: Event) -> MqttMessage:
    topic = _text(config, "topic")
    if re.search(r"[+#\x00]", topic) or len(topic.encode("utf-8", "replace")) > 65_535:
        raise InvalidActionError("config.topic must be a topic to publish on: without + and #")
    qos: object = config.get("qos", 1)
    if qos not in (0, 1, 2):
        raise InvalidActionError("config.qos must be 0, 1 or 2")
    retain = config.get("retain") is True
    return MqttMessage(topic=topic, payload=_payload(config, event), qos=cast("int", qos), retain=retain)


def _nats_message(config: Mapping[str, Any], event: Event) -> NatsMessage:
    subject = _text(config, "subject")
    if not _SUBJECT.fullmatch(subject):
        raise InvalidActionError(f"config.subject: cannot publish to the NATS subject {subject!r}")
    headers = {"Idempotency-Key": event.message_id}
    return NatsMessage(subject=subject, payload=_payload(config, event), headers=headers)


def _healthcheck_response(_config: Mapping[str, Any], event: Event) -> MqttMessage | None:
    if event.topic.endswith(RESPONSE):
        # A filter that also covers the answers must not make instances answer each other for ever.
        return None
    answer = {
        "status": "ok",
        "product_id": event.product_id,
        "instance_id": event.instance_id,
        "revision": event.revision,
        "message_id": event.message_id,
        "received_at": event.received_at,
    }
    return MqttMessage(topic=event.topic + RESPONSE, payload=msgspec.json.encode(answer).decode())


_COMPOSERS: dict[str, Callable[[Mapping[str, Any], Event], Outgoing | None]] = {
    "http_webhook": _http_request,
    "smtp_email": _mail,
    "mqtt_publish": _mqtt_message,
    "nats_publish": _nats_message,
    "healthcheck_response": _healthcheck_response,
}


BUILT_IN = tuple(_COMPOSERS)
"""The action types that `compose` knows."""


def _text(config: Mapping[str, Any], name: str) -> str:
    value = config.get(name)
    if not isinstance(value, str) or not value:
        raise InvalidActionError(f"config.{name} is missing or empty")
    return value


def _payload(config: Mapping[str, Any], event: Event) -> str:
    payload = config.get("payload")
    return payload if isinstance(payload, str) else _encoded(event)


def _encoded(event: Event) -> str:
    return encode(event).decode()


def _is_json(text: str) -> bool:
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True
