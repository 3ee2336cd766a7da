"""Trying actions without any server, for the tests of programs that embed an instance.

    trial = Trial(actions)
    tried = await trial.run([{"type": "create_invoice"}], {"amount": 5})
    assert tried.executed == ["create_invoice"]

Conditions, templates, time-outs and retries are those of a real instance; only the pauses between attempts
are left out, and what the built-in types would send is kept instead.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from random import Random
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct, field

from mqtt_shared.conditions import holds
from mqtt_shared.event import Event, content
from mqtt_shared.outgoing import BUILT_IN, Outgoing, compose

from .actions import Actions
from .core.steps import Steps
from .pipeline import Routing
from .runner import Attempts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["FailedAction", "Trial", "Tried"]


class FailedAction(Struct, frozen=True, kw_only=True):
    """An action that would have become a dead letter."""

    action_type: str
    error: str
    attempts: int


class Tried(Struct, frozen=True, kw_only=True):
    """What became of the actions of one message, each in the order of the actions."""

    executed: list[str] = field(default_factory=list[str])
    skipped: list[str] = field(default_factory=list[str])
    """Their conditions did not hold."""
    failed: list[FailedAction] = field(default_factory=list[FailedAction])
    sent: list[Outgoing] = field(default_factory=list[Outgoing])
    """What the built-in types would have sent."""


class Trial:
    """Runs messages through actions as an instance would."""

    def __init__(
        self,
        actions: Actions | None = None,
        *,
        variables: Mapping[str, str] | None = None,
        secrets: Mapping[str, str] | None = None,
        product_id: int = 1,
    ) -> None:
        self.actions = Actions()
        for action_type in BUILT_IN:
            self.actions.register(action_type, self._keep)
        if actions is not None:
            self.actions.include(actions)
        self._routing = Routing(variables=dict(variables or {}), secrets=dict(secrets or {}))
        self._product_id = product_id
        # Nothing is drawn that matters: no pause is made.
        self._attempts = Attempts(self.actions, Random(0), pause=_no_pause)  # noqa: S311 - spreads retries, no secret
        self._sent = list[Outgoing]()

    async def run(
        self,
        actions: Sequence[Mapping[str, Any]],
        payload: object = None,
        *,
        topic: str = "test/topic",
        subscription: str = "test",
        message_id: str | None = None,
    ) -> Tried:
        """One message in a subscription with these actions. `payload`: bytes as they come, or JSON."""
        self._sent = list[Outgoing]()
        tried = Tried(sent=self._sent)
        event = self._event(payload, topic, subscription, message_id)
        for step in Steps().of(1, actions):
            if not holds(step.conditions, event.payload):
                tried.skipped.append(step.action_type)
            elif failure := await self._attempts.run(step, event, self._routing, lambda: True):
                tried.failed.append(
                    FailedAction(action_type=step.action_type, error=failure.error, attempts=failure.attempts)
                )
            else:
                tried.executed.append(step.action_type)
        return tried

    def _event(self, payload: object, topic: str, subscription: str, message_id: str | None) -> Event:
        raw = payload if isinstance(payload, bytes) else msgspec.json.encode(payload)
        value, payload_base64 = content(raw)
        return Event(
            product_id=self._product_id,
            instance_id="test",
            subscription=subscription,
            topic=topic,
            payload=value,
            payload_base64=payload_base64,
            qos=1,
            retain=False,
            received_at=datetime.now(UTC),
            message_id=message_id or uuid.uuid4().hex,
            revision=None,
        )

    async def _keep(self, event: Event, action: Mapping[str, Any]) -> None:
        if outgoing := compose(action["type"], action["config"], event):
            self._sent.append(outgoing)


async def _no_pause(_seconds: float) -> None:
    pass
