"""The action types that every instance can run."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Protocol, cast

import msgspec

from .core.templates import render
from .errors import ActionError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .actions import Actions
    from .core.event import Event

__all__ = ["register"]

_RESPONSE = "/response"
# What starts with $ is the server's own: the bucket of snapshots is there.
_SUBJECT = re.compile(r"[^\s.*>\x00$][^\s.*>\x00]*(\.[^\s.*>\x00]+)*")


class MqttPublisher(Protocol):
    """The instance's connection to its broker."""

    async def publish(self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False) -> None:
        """Publish, and wait for the broker's acknowledgement."""


class NatsPublisher(Protocol):
    """The instance's connection to NATS."""

    async def publish(self, subject: str, payload: bytes, headers: dict[str, str]) -> None:
        """Publish, and wait until the server has it."""


def register(
    actions: Actions, mqtt: MqttPublisher, nats: NatsPublisher, health: Callable[[], dict[str, Any]]
) -> None:
    """Add `mqtt_publish`, `nats_publish` and `healthcheck_response`."""

    @actions.action("mqtt_publish")
    async def mqtt_publish(event: Event, action: Mapping[str, Any]) -> None:
        """Publish the event, or the template `payload`, on `topic` with QoS 1."""
        config = _config(action)
        await mqtt.publish(render(_text(config, "topic"), event), _body(config, event), qos=1)

    @actions.action("nats_publish")
    async def nats_publish(event: Event, action: Mapping[str, Any]) -> None:
        """Publish the event, or the template `payload`, on the NATS subject `subject`."""
        config = _config(action)
        subject = render(_text(config, "subject"), event)
        if not _SUBJECT.fullmatch(subject):
            raise ActionError(f"cannot publish to the NATS subject {subject!r}")
        await nats.publish(subject, _body(config, event), {"Idempotency-Key": event.message_id})

    @actions.action("healthcheck_response")
    async def healthcheck_response(event: Event, _action: Mapping[str, Any]) -> None:
        """Answer on the message's topic with `/response` behind it."""
        if event.topic.endswith(_RESPONSE):
            # A filter that also covers the answers must not make instances answer each other for ever.
            return
        answer = {"status": "ok", "message_id": event.message_id, "received_at": event.received_at} | health()
        await mqtt.publish(event.topic + _RESPONSE, msgspec.json.encode(answer), qos=1)


def _config(action: Mapping[str, Any]) -> dict[str, Any]:
    config = action.get("config")
    return cast("dict[str, Any]", config) if isinstance(config, dict) else {}


def _text(config: Mapping[str, Any], name: str) -> str:
    value = config.get(name)
    if not isinstance(value, str) or not value:
        raise ActionError(f"the action's config needs a {name}")
    return value


def _body(config: Mapping[str, Any], event: Event) -> bytes:
    template = config.get("payload")
    return render(template, event).encode() if isinstance(template, str) else msgspec.json.encode(event)
