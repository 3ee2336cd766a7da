"""The AsyncAPI document of the messages on NATS, made from their structs. No I/O."""

from __future__ import annotations

from typing import Any

import msgspec

from mqtt_shared import messages
from mqtt_shared.subjects import Subjects

__all__ = ["document", "rendered"]

_MESSAGES = {
    "snapshot": (
        messages.Snapshot,
        "The whole configuration of a product at one revision. Also the event that it has changed.",
    ),
    "heartbeat": (messages.Heartbeat, "The periodic report of an instance, with counters since its boot."),
    "statusChanged": (messages.StatusChanged, "The aggregated status of a product after a change."),
    "productChanged": (messages.ProductChanged, "A product was created, updated or deleted."),
    "deadLetter": (messages.DeadLetter, "A message whose action failed for the last time."),
    "reconnect": (messages.Reconnect, "Give up the MQTT connection and make a new one."),
    "commandReply": (messages.CommandReply, "An instance's answer to a command."),
}
_PART = "deadLetterPart"
_PRODUCT = {"description": "Id of the product."}
_INSTANCE = {"description": "`instance_id` of the instance."}
_BOOT = {"description": "`boot_id` of the run of the instance."}
_REF = "#/components/schemas/{name}"


def document(root: str = "mqtt") -> dict[str, Any]:
    """AsyncAPI 3.0.0, with the names under the default root."""
    kinds = [kind for kind, _ in _MESSAGES.values()]
    _, schemas = msgspec.json.schema_components(kinds, ref_template=_REF)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "MQTT control plane: messages on NATS",
            "version": "1.0.0",
            "description": (
                "Every message is UTF-8 JSON. Readers ignore unknown fields. All names stand under one root "
                f"(`NATS_ROOT`, here `{root}`)."
            ),
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {"nats": {"host": "127.0.0.1:4222", "protocol": "nats"}},
        "channels": _channels(Subjects(root)),
        "operations": _operations(),
        "components": {
            "messages": {name: _message(name, kind, text) for name, (kind, text) in _MESSAGES.items()}
            | {_PART: {"name": _PART, "contentType": "application/octet-stream"}},
            "schemas": schemas,
        },
    }


def rendered() -> bytes:
    """The document as it stands in docs/asyncapi.json."""
    return msgspec.json.format(msgspec.json.encode(document()), indent=2) + b"\n"


def _message(name: str, kind: type, text: str) -> dict[str, Any]:
    return {
        "name": name,
        "summary": text,
        "contentType": "application/json",
        "payload": {"$ref": _REF.format(name=kind.__name__)},
    }


def _channels(subjects: Subjects) -> dict[str, Any]:
    root = subjects.root
    return {
        "config": _channel(
            subjects.config("{product_id}"),
            f"Key of the JetStream key-value bucket `{subjects.bucket}` (stream `{subjects.bucket_stream}`): "
            "its last message is the product's newest snapshot. Subscribe first, then get the last message; "
            "do both again after each reconnect. Ignore a revision lower than the applied one, and a delete "
            "marker.",
            ["snapshot"],
            product_id=_PRODUCT,
        ),
        "heartbeat": _channel(
            f"{root}.heartbeat.{{product_id}}.{{instance_id}}.{{boot_id}}",
            f"The stream `{subjects.heartbeat_stream}` keeps the last message of each subject. Sent every "
            "`interval` seconds and at once on a change.",
            ["heartbeat"],
            product_id=_PRODUCT,
            instance_id=_INSTANCE,
            boot_id=_BOOT,
        ),
        "status": _channel(
            subjects.status("{product_id}"),
            "Sent after each flush that changed something of the product.",
            ["statusChanged"],
            product_id=_PRODUCT,
        ),
        "product": _channel(
            subjects.product("{product_id}"),
            "Sent once after the change; not repeated.",
            ["productChanged"],
            product_id=_PRODUCT,
        ),
        "deadLetter": _channel(
            subjects.dead_letter("{product_id}", "{subscription_id}"),
            f"The stream `{subjects.dead_letter_stream}` keeps each message until it is replayed or dropped.",
            ["deadLetter"],
            product_id=_PRODUCT,
            subscription_id={"description": "Id of the subscription."},
        ),
        _PART: _channel(
            subjects.dead_letter_part("{product_id}", "{subscription_id}"),
            "A piece of a payload that is too large for one message: bytes as they came. In the same stream, "
            "before the dead letter that names it in `payload_parts`.",
            [_PART],
            product_id=_PRODUCT,
            subscription_id={"description": "Id of the subscription."},
        ),
        "command": _channel(
            f"{root}.command.{{product_id}}",
            "A request to all instances of the product; each answers on the reply subject.",
            ["reconnect"],
            product_id=_PRODUCT,
        ),
        "commandReply": {
            "address": None,
            "description": "The inbox that a command names as its reply subject.",
            "messages": _refs(["commandReply"]),
        },
    }


def _channel(address: str, text: str, names: list[str], **parameters: Any) -> dict[str, Any]:
    return {"address": address, "description": text, "messages": _refs(names), "parameters": parameters}


def _refs(names: list[str]) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/messages/{name}"} for name in names}


def _operations() -> dict[str, Any]:
    """As an instance sees them: it sends heartbeats, and receives snapshots and commands."""
    return {
        "receiveSnapshot": _operation("receive", "config", "Take over the configuration."),
        "sendHeartbeat": _operation("send", "heartbeat", "Report state and counters."),
        "receiveStatus": _operation("receive", "status", "Follow the status of a product."),
        "receiveProductChange": _operation("receive", "product", "Follow which products there are."),
        "sendDeadLetter": _operation(
            "send", "deadLetter", "Put aside a message that could not be worked on."
        ),
        "sendDeadLetterPart": _operation(
            "send", _PART, "Put aside a payload that is too large for a letter."
        ),
        "receiveCommand": {
            **_operation("receive", "command", "Carry out a command and answer it."),
            "reply": {
                "address": {"location": "$message.header#/replyTo"},
                "channel": {"$ref": "#/channels/commandReply"},
            },
        },
    }


def _operation(action: str, channel: str, text: str) -> dict[str, Any]:
    return {"action": action, "channel": {"$ref": f"#/channels/{channel}"}, "summary": text}
