"""Configurations as files: the export format, and the `mqtt_events.json` of before. No I/O."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType, field

from mqtt_shared import topics

from . import validation
from .errors import Fault, InvalidInputError
from .inputs import BrokerInput, Qos, SubscriptionInput, TopicsInput

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .state import Desired

__all__ = ["FORMAT", "Imported", "export", "parse"]

FORMAT = "mqtt-config/1"
_Loc = tuple[str | int, ...]


class Imported(Struct, frozen=True, kw_only=True):
    """What a file asks for. `broker` null: the stored one stays.

    whole: subscriptions that the file does not name are removed; else they stay.
    """

    broker: BrokerInput | None = None
    clean_session: bool | UnsetType = UNSET
    topics: TopicsInput | UnsetType = UNSET
    subscriptions: list[SubscriptionInput] = field(default_factory=list[SubscriptionInput])
    whole: bool = True


class ExportDocument(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The export of a whole configuration, without secrets."""

    format: Literal["mqtt-config/1"]
    product: str = ""
    revision: int = 0
    broker: BrokerInput
    topics: TopicsInput | UnsetType = UNSET
    subscriptions: list[SubscriptionInput] = field(default_factory=list[SubscriptionInput])
    secrets: list[str] = field(default_factory=list[str])
    """The names alone: values do not travel in files."""


class _LegacyAction(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    type: Annotated[str, Meta(min_length=1)]
    name: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    conditions: dict[str, Any] | UnsetType = UNSET
    email: dict[str, Any] | UnsetType = UNSET


class _LegacyEvent(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    description: str = ""
    topic: str | None = None
    enabled: bool = True
    actions: list[_LegacyAction] = field(default_factory=list[_LegacyAction])


class _LegacyConfiguration(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    qos: Qos | UnsetType = UNSET
    clean_session: bool | UnsetType = UNSET
    shared_subscription: bool | UnsetType = UNSET
    shared_group_prefix: str | UnsetType = UNSET


class _LegacyFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    configuration: _LegacyConfiguration = _LegacyConfiguration()
    events: list[_LegacyEvent]


def export(product: str, revision: int, wanted: Desired) -> dict[str, Any]:
    """The whole configuration as `parse` reads it, without secrets: an import keeps the stored ones."""
    items = [
        {name: value for name, value in msgspec.to_builtins(item).items() if name != "id"}
        for item in wanted.subscriptions
    ]
    return {
        "format": FORMAT,
        "product": product,
        "revision": revision,
        "broker": msgspec.to_builtins(wanted.broker),
        "topics": msgspec.to_builtins(wanted.topics),
        "subscriptions": items,
        "secrets": sorted(wanted.secrets),
    }


def parse(document: dict[str, Any]) -> Imported:
    """Either format; the legacy one is the one with `events`.

    Raises:
        InvalidInputError: all faults of the file.
    """
    return _parse_legacy(document) if "events" in document else _parse_export(document)


def _parse_export(document: dict[str, Any]) -> Imported:
    faults = validation.faults(document, ExportDocument)
    faults += _names_twice(document.get("subscriptions"), ("body", "subscriptions"))
    faults += _bad_topics(document.get("subscriptions"), ("body", "subscriptions"))
    _refuse(faults)
    read = msgspec.convert(document, ExportDocument)
    return Imported(broker=read.broker, topics=read.topics, subscriptions=read.subscriptions)


def _parse_legacy(document: dict[str, Any]) -> Imported:
    faults = validation.faults(document, _LegacyFile)
    faults += _names_twice(document["events"], ("body", "events"))
    faults += _bad_topics(document["events"], ("body", "events"))
    if validation.faults(document, _LegacyFile):
        _refuse(faults)
    read = msgspec.convert(document, _LegacyFile)
    group = _group(read.configuration.shared_group_prefix)
    settings = {
        "qos": read.configuration.qos,
        "use_shared": read.configuration.shared_subscription,
        "shared_group": group,
    }
    given = {name: value for name, value in settings.items() if value is not UNSET}
    events = [_subscription(event) for event in read.events]
    # What the file's own structs allow may still break a rule of a subscription.
    faults += _renamed(validation.faults(given, TopicsInput))
    faults += [
        fault
        for index, event in enumerate(events)
        for fault in validation.faults(event, SubscriptionInput, ("body", "events", index))
    ]
    _refuse(faults)
    return Imported(
        clean_session=read.configuration.clean_session,
        topics=msgspec.convert(given, TopicsInput),
        subscriptions=msgspec.convert(events, list[SubscriptionInput]),
        whole=False,
    )


def _group(prefix: str | UnsetType) -> str | UnsetType:
    return prefix if isinstance(prefix, UnsetType) else prefix.removeprefix("$share/").strip("/")


def _subscription(event: _LegacyEvent) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(event)
    for action in plain["actions"]:
        if "email" in action:
            action["config"] = action.pop("email")
    return plain


def _renamed(faults: Sequence[Fault]) -> Iterator[Fault]:
    names = {"shared_group": "shared_group_prefix", "use_shared": "shared_subscription"}
    for fault in faults:
        name = str(fault.loc[-1])
        yield Fault(["body", "configuration", names.get(name, name)], fault.msg, fault.type)


def _names_twice(items: Any, loc: _Loc) -> list[Fault]:
    names = [item.get("name") for item in _objects(items)]
    counts = Counter(name for name in names if isinstance(name, str))
    return [
        Fault([*loc, index, "name"], f"the name {name!r} must appear only once in the file", "duplicate_name")
        for index, name in enumerate(names)
        if isinstance(name, str) and counts[name] > 1 and names.index(name) < index
    ]


def _bad_topics(items: Any, loc: _Loc) -> list[Fault]:
    return [
        Fault([*loc, index, "topic"], msg, "topic")
        for index, item in enumerate(_objects(items))
        if isinstance(topic := item.get("topic"), str)
        for msg in topics.faults(topic)
    ]


def _objects(items: Any) -> list[dict[str, Any]]:
    if not isinstance(items, list):
        return []
    return [
        cast("dict[str, Any]", item) if isinstance(item, dict) else {} for item in cast("list[Any]", items)
    ]


def _refuse(faults: Sequence[Fault]) -> None:
    if faults:
        once = {(tuple(fault.loc), fault.msg): fault for fault in faults}
        raise InvalidInputError(list(once.values()))
