"""One action of a subscription, ready to be run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from msgspec import Struct

from mqtt_shared.templates import is_template

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from random import Random

__all__ = ["Step", "Steps", "retry_delay"]

_MOST_DELAY_SECONDS = 300.0


class Step(Struct, frozen=True, kw_only=True):
    """An action of a subscription with the defaults filled in; `index` is its place."""

    index: int
    action: dict[str, Any]
    action_type: str
    conditions: dict[str, Any]
    timeout_seconds: float
    retries: int
    retry_backoff_seconds: float
    has_templates: bool


class Steps:
    """Makes the steps of a subscription's actions, once for each list of actions."""

    def __init__(self, timeout_seconds: float = 30) -> None:
        self._timeout_seconds = timeout_seconds
        self._made: dict[int, tuple[Sequence[Mapping[str, Any]], list[Step]]] = {}

    def of(self, subscription_id: int, actions: Sequence[Mapping[str, Any]]) -> list[Step]:
        """The steps of `actions`, in their order."""
        known = self._made.get(subscription_id)
        if known is not None and known[0] is actions:
            return known[1]
        steps = [_step(index, action, self._timeout_seconds) for index, action in enumerate(actions)]
        self._made[subscription_id] = actions, steps
        return steps


def _step(index: int, action: Mapping[str, Any], timeout_seconds: float) -> Step:
    config = action.get("config")
    conditions = action.get("conditions")
    return Step(
        index=index,
        action={**action, "config": config if isinstance(config, dict) else {}},
        action_type=str(action.get("type")),
        conditions=cast("dict[str, Any]", conditions) if isinstance(conditions, dict) else {},
        timeout_seconds=_number(_given_timeout(action), 0.1, 600, timeout_seconds),
        retries=int(_number(action.get("retries"), 0, 20, 3)),
        retry_backoff_seconds=_number(action.get("retry_backoff_seconds"), 0.1, _MOST_DELAY_SECONDS, 1),
        has_templates=_has_templates(config),
    )


def _given_timeout(action: Mapping[str, Any]) -> object:
    """Of the action; a webhook may have it in its config."""
    if action.get("timeout_seconds") is None and action.get("type") == "http_webhook":
        config: object = action.get("config")
        return cast("dict[str, Any]", config).get("timeout_seconds") if isinstance(config, dict) else None
    return action.get("timeout_seconds")


def _number(given: object, least: float, most: float, default: float) -> float:
    """config_service has checked it; whoever else wrote it gets the nearest sensible value."""
    if not isinstance(given, int | float) or isinstance(given, bool) or given != given:
        return default
    return min(max(float(given), least), most)


def _has_templates(value: Any) -> bool:
    if isinstance(value, str):
        return is_template(value)
    if isinstance(value, dict):
        return any(_has_templates(below) for below in cast("dict[str, Any]", value).values())
    return isinstance(value, list) and any(_has_templates(below) for below in cast("list[Any]", value))


def retry_delay(step: Step, attempts: int, random: Random) -> float:
    """Seconds to wait after so many failed attempts: doubles each time, jittered so that many do not come at
    once.
    """
    ceiling = min(_MOST_DELAY_SECONDS, step.retry_backoff_seconds * 2 ** (attempts - 1))
    return ceiling * random.uniform(0.5, 1)
