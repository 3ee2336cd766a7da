"""Answers: the structs beside those of `core/model.py`, and how they become responses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeVar

import msgspec
from aiohttp import web
from msgspec import UNSET, Struct, UnsetType, structs

from mqtt_shared.readiness import Down

from .core.model import (
    ActivityEntry,
    ApiToken,
    Change,
    Effect,
    FleetProduct,
    Instance,
    MissingSecret,
    MqttConfig,
    PathChange,
    Product,
    Revision,
    Role,
    Rollout,
    Secret,
    Subscription,
    Warn,
)
from .preconditions import etag

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .routing import Call

__all__ = [
    "ActionType",
    "ActionTypes",
    "ActivityPage",
    "ConfigWritten",
    "ConfigurationImported",
    "Diff",
    "Done",
    "Fleet",
    "Health",
    "InstancesPage",
    "ProductCreated",
    "ProductKey",
    "ProductUpdated",
    "ProductsPage",
    "Readiness",
    "Reconnected",
    "Removed",
    "RevisionsPage",
    "SecretWritten",
    "SecretsPage",
    "Session",
    "SubscriptionAnswer",
    "SubscriptionWritten",
    "SubscriptionsPage",
    "TokenCreated",
    "TokensPage",
    "extended",
    "follow",
    "outcome",
    "removed",
    "reply",
]

_encode = msgspec.json.Encoder().encode
T = TypeVar("T", bound=Struct)
Success = Literal["success"]


class Written(Struct, frozen=True, kw_only=True):
    """What every answer of a write of the configuration has."""

    revision: int | None
    effect: Effect | UnsetType = UNSET
    warnings: list[Warn] | UnsetType = UNSET
    rollout: Rollout | UnsetType = UNSET
    """After `Prefer: wait=N`."""
    dry_run: bool | UnsetType = UNSET
    """Nothing was written."""


class Done(Struct, frozen=True, kw_only=True):
    """It was done."""

    status: Success = "success"
    message: str


class ConfigWritten(Written, frozen=True, kw_only=True):
    """The answer of endpoint 2, and of a restore."""

    status: Success = "success"
    message: str
    requires_restart: bool = False
    """Always false: instances take every change while they run."""
    mqtt_config: MqttConfig


class Removed(Written, frozen=True, kw_only=True):
    """Something was removed; a dry run tells what that would mean."""

    status: Success = "success"
    message: str


class ConfigurationImported(Written, frozen=True, kw_only=True):
    """The answer of an import."""

    status: Success = "success"
    message: str
    requires_restart: bool = False
    product_id: int
    mqtt_config: MqttConfig | None
    subscriptions: list[Subscription] | None


class SubscriptionWritten(Written, frozen=True, kw_only=True):
    """The answer of endpoint 5."""

    status: Success = "success"
    message: str
    subscription: Subscription


class SubscriptionAnswer(Subscription, frozen=True, kw_only=True):
    """One subscription, with the revision of its configuration."""

    revision: int
    effect: Effect | UnsetType = UNSET
    warnings: list[Warn] | UnsetType = UNSET
    rollout: Rollout | UnsetType = UNSET
    dry_run: bool | UnsetType = UNSET


class ProductCreated(Product, frozen=True, kw_only=True):
    """A new product with its key, which is shown this once; a dry run makes none."""

    product_key: str | None
    dry_run: bool | UnsetType = UNSET


class ProductUpdated(Product, frozen=True, kw_only=True):
    """A product after a change. `revision` is that of its configuration, null without one."""

    revision: int | None
    effect: Effect | UnsetType = UNSET
    warnings: list[Warn] | UnsetType = UNSET
    rollout: Rollout | UnsetType = UNSET
    dry_run: bool | UnsetType = UNSET


class ProductKey(Struct, frozen=True, kw_only=True):
    """A new product key, shown this once."""

    product_id: int
    product_key: str


class ProductsPage(Struct, frozen=True, kw_only=True):
    """One page of products."""

    products: list[Product]
    next_cursor: str | None


class SubscriptionsPage(Struct, frozen=True, kw_only=True):
    """The answer of endpoint 4: one page of subscriptions."""

    subscriptions: list[Subscription]
    next_cursor: str | None
    revision: int | None
    """Null without a configuration."""


class InstancesPage(Struct, frozen=True, kw_only=True):
    """One page of instances."""

    instances: list[Instance]
    next_cursor: str | None


class RevisionsPage(Struct, frozen=True, kw_only=True):
    """One page of the history, newest first."""

    revisions: list[Revision]
    next_cursor: str | None


class ActivityPage(Struct, frozen=True, kw_only=True):
    """One page of what happened, the newest first."""

    activity: list[ActivityEntry]
    next_cursor: str | None


class Diff(Struct, frozen=True, kw_only=True):
    """What differs between two revisions: `before` at `against`, `after` at `revision`."""

    product_id: int
    revision: int
    against: int
    changes: list[PathChange]


class Reconnected(Struct, frozen=True, kw_only=True):
    """The answer of endpoint 6."""

    status: Success = "success"
    message: str
    instances_notified: int


class Session(Struct, frozen=True, kw_only=True):
    """Who has signed in; null `product_ids` means all products."""

    name: str
    role: Role
    product_ids: list[int] | None


class TokenCreated(ApiToken, frozen=True, kw_only=True):
    """A new bearer token, shown this once."""

    token: str


class ActionType(Struct, frozen=True, kw_only=True):
    """A type of action that every instance can run."""

    type: str
    description: str
    built_in: bool
    schema: dict[str, Any]
    """JSON Schema (2020-12) of a whole action of this type."""


class ActionTypes(Struct, frozen=True, kw_only=True):
    """The types of actions that the service knows."""

    action_types: list[ActionType]


class Fleet(Struct, frozen=True, kw_only=True):
    """One page of the fleet, in order of product id."""

    products: list[FleetProduct]
    next_cursor: str | None


class TokensPage(Struct, frozen=True, kw_only=True):
    """One page of tokens."""

    tokens: list[ApiToken]
    next_cursor: str | None


class SecretWritten(Written, frozen=True, kw_only=True):
    """A named secret after a change. `revision` is that of the configuration, null without one."""

    status: Success = "success"
    message: str
    secret: Secret


class SecretsPage(Struct, frozen=True, kw_only=True):
    """One page of named secrets, without values."""

    secrets: list[Secret]
    missing: list[MissingSecret]
    """Those that actions refer to and that are not stored, the same on every page."""
    next_cursor: str | None


class Health(Struct, frozen=True, kw_only=True):
    """The process runs."""

    status: Literal["ok"] = "ok"


class Readiness(Struct, frozen=True, kw_only=True):
    """Whether requests can be served; `down` tells of each dependency that is away."""

    status: Literal["ready", "not ready"]
    down: dict[str, Down]


def reply(
    value: object,
    status: int = 200,
    *,
    revision: int | None = None,
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    """`value` as JSON; with the entity tag of `revision`."""
    response = web.Response(
        body=_encode(value), status=status, content_type="application/json", headers=headers
    )
    if revision is not None:
        response.headers["ETag"] = etag(revision)
    return response


def extended(kind: type[T], base: Struct, **more: Any) -> T:
    """A struct of a kind that inherits from the kind of `base`."""
    return kind(**{**structs.asdict(base), **more})


def outcome(call: Call, change: Change[Any]) -> dict[str, Any]:
    """The fields of `Written` for a change."""
    fields = {"revision": change.revision, "effect": change.effect, "warnings": change.warnings}
    return {**fields, "dry_run": True} if call.query.get("dry_run") else fields


async def removed(call: Call, change: Change[None], message: str) -> web.Response:
    """The answer of a removal, and of its dry run."""
    more, headers = await follow(call, change.revision)
    if call.query["dry_run"]:
        message = "Nothing was removed: this was a dry run"
    answer = Removed(message=message, **outcome(call, change), **more)
    return reply(answer, revision=change.revision or None, headers=headers)


async def follow(call: Call, revision: int | None) -> tuple[dict[str, Any], dict[str, str]]:
    """With `Prefer: wait=N`, wait for the instances: the field `rollout` and the headers to answer with."""
    seconds = call.wait_seconds
    if seconds is None or not revision or call.query.get("dry_run"):
        return {}, {}
    rollout = await call.usecases.wait_for_rollout(call.product_id, revision, seconds)
    return {"rollout": rollout}, {"Preference-Applied": f"wait={seconds}"}
