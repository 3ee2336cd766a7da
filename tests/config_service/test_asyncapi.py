"""docs/asyncapi.json says what the structs say, and holds together."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import jsonschema
import pytest

from config_service import asyncapi
from mqtt_shared import messages
from mqtt_shared.subjects import Subjects

if TYPE_CHECKING:
    from collections.abc import Iterator

    import msgspec

FILE = Path(__file__).parents[2] / "docs" / "asyncapi.json"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
EXAMPLES = [
    messages.Snapshot(product_id=1, revision=2, issued_at=NOW, broker=messages.Broker(host="b.example.com")),
    messages.Heartbeat(
        product_id=1,
        instance_id="i",
        boot_id="b",
        seq=1,
        sent_at=NOW,
        started_at=NOW,
        counters={"1": messages.Counters(messages_received=1)},
        rejected=messages.Rejection(revision=2, error="no"),
    ),
    messages.StatusChanged(product_id=1, status=messages.ProductStatus(product_id=1)),
    messages.DeadLetter(
        product_id=1,
        instance_id="i",
        subscription_id=1,
        subscription="a",
        action=0,
        action_type="http_webhook",
        error="status 500",
        attempts=4,
        topic="a/b",
        payload_base64="",
        qos=1,
        retain=False,
        message_id="0",
        received_at=NOW,
        failed_at=NOW,
    ),
    messages.Reconnect(),
    messages.CommandReply(instance_id="i", accepted=True),
]


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return json.loads(FILE.read_bytes())


def test_the_file_is_what_the_code_says() -> None:
    assert FILE.read_bytes() == asyncapi.rendered(), (
        "write config_service.asyncapi.rendered() to docs/asyncapi.json"
    )


def _walk(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield cast("dict[str, Any]", value)
        for item in cast("dict[str, Any]", value).values():
            yield from _walk(item)
    if isinstance(value, list):
        for item in cast("list[Any]", value):
            yield from _walk(item)


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    for node in _walk(document):
        if isinstance(reference := node.get("$ref"), str):
            found: Any = document
            for step in reference.removeprefix("#/").split("/"):
                found = found[step]


def test_the_structure_is_that_of_asyncapi_3(document: dict[str, Any]) -> None:
    """The parts of the AsyncAPI 3.0.0 schema that this document uses."""
    reference = {
        "type": "object",
        "required": ["$ref"],
        "additionalProperties": False,
        "properties": {"$ref": {"type": "string"}},
    }
    channel = {
        "type": "object",
        "required": ["address", "messages"],
        "additionalProperties": False,
        "properties": {
            "address": {"type": ["string", "null"]},
            "description": {"type": "string"},
            "messages": {"type": "object", "minProperties": 1, "additionalProperties": reference},
            "parameters": {"type": "object"},
        },
    }
    operation = {
        "type": "object",
        "required": ["action", "channel"],
        "additionalProperties": False,
        "properties": {
            "action": {"enum": ["send", "receive"]},
            "channel": reference,
            "summary": {"type": "string"},
            "reply": {
                "type": "object",
                "additionalProperties": False,
                "properties": {"address": {"required": ["location"]}, "channel": reference},
            },
        },
    }
    schema = {
        "type": "object",
        "required": ["asyncapi", "info", "channels", "operations", "components"],
        "properties": {
            "asyncapi": {"const": "3.0.0"},
            "info": {"type": "object", "required": ["title", "version"]},
            "channels": {"type": "object", "additionalProperties": channel},
            "operations": {"type": "object", "additionalProperties": operation},
        },
    }
    jsonschema.validate(document, schema)
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_parameters_are_those_of_the_address(document: dict[str, Any]) -> None:
    for channel in document["channels"].values():
        names = {part.strip("{}") for part in (channel["address"] or "").split(".") if part.startswith("{")}
        assert names == set(channel.get("parameters", {}))


def test_addresses_are_those_of_the_code(document: dict[str, Any]) -> None:
    found = {name: channel["address"] for name, channel in document["channels"].items()}
    subjects = Subjects()
    assert found["config"] == subjects.config("{product_id}")
    assert found["status"] == subjects.status("{product_id}")
    filled = found["heartbeat"].format(product_id=1, instance_id="i", boot_id="b")
    assert filled == subjects.heartbeat(1, "i", "b")
    assert found["command"].format(product_id=1) == subjects.command(1)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: type(example).__name__)
def test_messages_fit_their_schema(document: dict[str, Any], example: msgspec.Struct) -> None:
    schema = {
        "$ref": f"#/components/schemas/{type(example).__name__}",
        "components": document["components"],
    }
    validator: Any = jsonschema.Draft202012Validator(schema)
    validator.validate(json.loads(messages.encode(example)))
    with pytest.raises(jsonschema.ValidationError):
        validator.validate([])
