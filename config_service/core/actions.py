"""The action types that every instance can run, and what each wants to know (`config` of an action).

Any other type belongs to the product's own code: its config is free.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType, field

from mqtt_shared import templates

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "ACTION_SCHEMA",
    "KNOWN",
    "MQTT_TOPIC",
    "PATTERNS",
    "HealthcheckResponse",
    "HttpWebhook",
    "MqttPublish",
    "NatsPublish",
    "SmtpEmail",
    "faults",
    "schema",
]


def _or_template(pattern: str) -> str:
    """Also anything with a template in it: what that gives is known at the message."""
    return rf"^(?:[\s\S]*\{{[{{%][\s\S]*|{pattern})$"


_URL = _or_template(r"[Hh][Tt][Tt][Pp][Ss]?://[^/?#\s\\@][^\s\\]*")
_HEADER_NAME = r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$"
_ONE_LINE = r"^[^\x00-\x08\x0a-\x1f\x7f]*$"
MQTT_TOPIC = r"^[^+#\x00]+$"
# What begins with $ is the server's own.
_NATS_SUBJECT = _or_template(r"[^\s.*>\x00$][^\s.*>\x00]*(\.[^\s.*>\x00]+)*")

PATTERNS = {
    _URL: "must be an absolute URL with http:// or https://, a host, and no spaces",
    _HEADER_NAME: "must be the name of an HTTP header: letters, digits and - (RFC 9110, 5.6.2)",
    _ONE_LINE: "must be one line without control characters",
    MQTT_TOPIC: "must be an MQTT topic to publish on: without + and #",
    _NATS_SUBJECT: "must be a NATS subject to publish on: words joined by dots, without *, > and spaces, "
    "and not beginning with $",
}
"""What to tell about a value that does not match."""

Template = Annotated[str, Meta(max_length=100_000)]
MAX_NAME = 200
MAX_DESCRIPTION = 1000


class HttpWebhook(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Send the event to a URL."""

    url: Annotated[
        str, Meta(min_length=1, max_length=2000, pattern=_URL, examples=["https://example.com/hook"])
    ]
    method: Literal["DELETE", "GET", "PATCH", "POST", "PUT"] = "POST"
    headers: dict[
        Annotated[str, Meta(pattern=_HEADER_NAME)],
        Annotated[str, Meta(max_length=4000, pattern=_ONE_LINE)],
    ] = field(default_factory=dict[str, str])
    body: Template | None = None
    timeout_seconds: (
        Annotated[
            float, Meta(gt=0, le=300, description="For each attempt, where the action has none of its own")
        ]
        | UnsetType
    ) = UNSET


_Address = Annotated[str, Meta(min_length=1, max_length=320, pattern=_ONE_LINE)]


class SmtpEmail(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Send a mail; all three are templates. `to` is a list of addresses, or holds them between commas."""

    to: (
        Annotated[str, Meta(min_length=1, max_length=2000, pattern=_ONE_LINE)]
        | Annotated[list[_Address], Meta(min_length=1, max_length=100)]
    )
    subject: Annotated[str, Meta(min_length=1, max_length=500, pattern=_ONE_LINE)]
    body: Template


class MqttPublish(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Publish on the product's broker; `payload` is a template, the event as JSON when null."""

    topic: Annotated[str, Meta(min_length=1, max_length=512, pattern=MQTT_TOPIC)]
    payload: Template | None = None
    qos: Literal[0, 1, 2] = 1
    retain: bool = False


class NatsPublish(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Publish on NATS; `payload` is a template, the event as JSON when null."""

    subject: Annotated[str, Meta(min_length=1, max_length=512, pattern=_NATS_SUBJECT)]
    payload: Template | None = None


class HealthcheckResponse(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Answer a health check message; there is nothing to set."""


KNOWN: dict[str, type[Struct]] = {
    "http_webhook": HttpWebhook,
    "smtp_email": SmtpEmail,
    "mqtt_publish": MqttPublish,
    "nats_publish": NatsPublish,
    "healthcheck_response": HealthcheckResponse,
}

_LIMITS: dict[str, tuple[float, float]] = {
    "timeout_seconds": (0.1, 600),
    "retries": (0, 20),
    "retry_backoff_seconds": (0.1, 300),
}
"""Least and most of what says how an action is tried."""
_COMMON = {
    "name": {"type": "string", "maxLength": MAX_NAME},
    "description": {"type": "string", "maxLength": MAX_DESCRIPTION},
    "conditions": {
        "type": "object",
        "description": "Every key, a dotted path into the payload, must match the event: a scalar means "
        'equal, a list one of, "ANY" always.',
    },
    **{
        name: {"type": "integer" if name == "retries" else "number", "minimum": least, "maximum": most}
        for name, (least, most) in _LIMITS.items()
    },
}


def _known_schema(name: str, config: type[Struct]) -> dict[str, Any]:
    return {
        "type": "object",
        "title": name,
        "required": ["type"] if name == "healthcheck_response" else ["type", "config"],
        "properties": {
            "type": {"type": "string", "const": name},
            **_COMMON,
            "config": {"$ref": f"#/components/schemas/{config.__name__}"},
        },
        "additionalProperties": False,
    }


_FREE = {
    "type": "object",
    "title": "any other type",
    "description": "Registered by the product's own code. `config` and further keys are free.",
    "required": ["type"],
    "properties": {
        "type": {"type": "string", "minLength": 1, "maxLength": MAX_NAME, "not": {"enum": list(KNOWN)}},
        **_COMMON,
        "config": {"type": "object"},
    },
}
ACTION_SCHEMA: dict[str, Any] = {
    "anyOf": [*(_known_schema(name, config) for name, config in KNOWN.items()), _FREE],
}
"""An action in JSON Schema."""


def schema(name: str) -> dict[str, Any]:
    """A whole action of a built-in type as a JSON Schema of its own (2020-12)."""
    (config,), components = msgspec.json.schema_components([KNOWN[name]], ref_template="#/$defs/{name}")
    whole = _known_schema(name, KNOWN[name])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **whole,
        "properties": {**whole["properties"], "config": config},
        "$defs": components,
    }


_KEYS = ("type", "name", "description", "conditions", "config", *_LIMITS)


def faults(action: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], str, str]]:
    """What is wrong with an action beside its config: (place in the action, message, type of fault)."""
    kind = action.get("type")
    if not isinstance(kind, str):
        msg, fault = _wrong(kind, "a string") if "type" in action else ("is required", "missing")
        yield ("type",), msg, fault
    elif not 1 <= len(kind) <= MAX_NAME:
        yield ("type",), f"must have 1 to {MAX_NAME} characters", "too_short" if not kind else "too_long"
    yield from _text_faults(action)
    for key in ("conditions", "config"):
        if key in action and not isinstance(action[key], dict):
            yield ((key,), *_wrong(action[key], "an object"))
    if isinstance(kind, str) and kind in KNOWN:
        yield from _unknown_keys(action)
    yield from _limit_faults(action)
    for place, words in templates.faults(action.get("config"), "config"):
        yield tuple(place.split(".")), words, "template"
    if kind == "http_webhook":
        yield from _url_faults(action.get("config"))


def _limit_faults(action: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], str, str]]:
    for key, (least, most) in _LIMITS.items():
        value = action.get(key, least)
        wanted = "an integer" if key == "retries" else "a number"
        if isinstance(value, bool) or not isinstance(value, int if key == "retries" else int | float):
            yield ((key,), *_wrong(value, wanted))
        elif not least <= value <= most:
            yield (key,), f"must be {wanted} from {least:g} to {most:g}", "out_of_range"


def _text_faults(action: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], str, str]]:
    for key, most in (("name", MAX_NAME), ("description", MAX_DESCRIPTION)):
        value = action.get(key, "")
        if not isinstance(value, str):
            yield ((key,), *_wrong(value, "a string"))
        elif len(value) > most:
            yield (key,), f"must have at most {most} characters, not {len(value)}", "too_long"


def _wrong(value: object, wanted: str) -> tuple[str, str]:
    if value is None:
        return f"must not be null: it must be {wanted}", "null_not_allowed"
    return f"must be {wanted}", "wrong_type"


def _unknown_keys(action: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], str, str]]:
    for key in action:
        if key not in _KEYS:
            yield (key[:100],), f"is not a known field; known are: {', '.join(_KEYS)}", "unknown_field"


def _url_faults(config: Any) -> Iterator[tuple[tuple[str, ...], str, str]]:
    url = config.get("url") if isinstance(config, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - any JSON
    if not isinstance(url, str) or templates.is_template(url):
        return
    try:
        parts = urlsplit(url)
        # Reading the port checks it.
        fine, named = parts.port != 0 and bool(parts.hostname), "@" in parts.netloc
    except ValueError:
        fine, named = False, False
    if named:
        yield ("config", "url"), "must not hold a user name or password: use a header", "url_credentials"
    elif not fine and url.lower().startswith(("http://", "https://")):
        yield ("config", "url"), "must have a valid host, and a port of 1 to 65535 if any", "url_host"
