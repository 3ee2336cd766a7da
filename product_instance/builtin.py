"""The action types that every instance can run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from mqtt_shared.outgoing import HttpRequest, Mail, MqttMessage, NatsMessage, compose

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mqtt_shared.event import Event
    from mqtt_shared.outgoing import Outgoing

    from .actions import Actions
    from .mail import Mailer
    from .webhook import Webhooks

__all__ = ["register"]


class MqttPublisher(Protocol):
    """The instance's connection to its broker."""

    async def publish(self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False) -> None:
        """Publish, and wait for the broker's acknowledgement."""


class NatsPublisher(Protocol):
    """The instance's connection to NATS."""

    async def publish(self, subject: str, payload: bytes, headers: dict[str, str]) -> None:
        """Publish, and wait until the server has it."""


def register(
    actions: Actions, mqtt: MqttPublisher, nats: NatsPublisher, webhooks: Webhooks, mailer: Mailer
) -> None:
    """Add the built-in action types."""

    async def publish(event: Event, action: Mapping[str, Any]) -> None:
        if message := _composed(action, event, MqttMessage):
            payload = message.payload.encode()
            await mqtt.publish(message.topic, payload, qos=message.qos, retain=message.retain)

    async def nats_publish(event: Event, action: Mapping[str, Any]) -> None:
        if message := _composed(action, event, NatsMessage):
            await nats.publish(message.subject, message.payload.encode(), message.headers)

    async def http_webhook(event: Event, action: Mapping[str, Any]) -> None:
        if request := _composed(action, event, HttpRequest):
            await webhooks.send(request)

    async def smtp_email(event: Event, action: Mapping[str, Any]) -> None:
        if mail := _composed(action, event, Mail):
            await mailer.send(mail, message_id=event.message_id, at=event.received_at)

    actions.register("http_webhook", http_webhook)
    actions.register("smtp_email", smtp_email)
    actions.register("mqtt_publish", publish)
    actions.register("healthcheck_response", publish)
    actions.register("nats_publish", nats_publish)


Kind = TypeVar("Kind", bound="Outgoing")


def _composed(action: Mapping[str, Any], event: Event, kind: type[Kind]) -> Kind | None:
    outgoing = compose(action["type"], action["config"], event)
    assert outgoing is None or isinstance(outgoing, kind)
    return outgoing
