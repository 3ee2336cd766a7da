"""Merging what a client sends into what is stored, and the rules that need both."""

from __future__ import annotations

import functools
import ipaddress
import re
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec import UNSET, UnsetType, structs

from mqtt_shared import messages, topics

from .errors import Fault, InvalidInputError
from .model import MASK
from .numbers import settled
from .state import Item

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .inputs import BrokerInput, PartialBrokerInput, SubscriptionInput, SubscriptionPatch, TopicsInput
    from .state import Desired

__all__ = [
    "NO_GROUP",
    "check",
    "check_variables",
    "given_secret",
    "host_fault",
    "merge_broker",
    "merge_subscription",
    "merge_topics",
    "new_subscription",
]

T = TypeVar("T")
NO_GROUP = "is required when use_shared is on"
_LABEL = re.compile(r"(?!-)[\w-]{1,63}(?<!-)")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,99}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")


def merge_broker(stored: messages.Broker | None, given: BrokerInput | PartialBrokerInput) -> messages.Broker:
    """The broker settings: absent fields as stored, or the default when nothing is stored.

    `client_id` "" means null: made per instance; so does an empty certificate: none.
    """
    changes = _given(given, leave_out=("password", "client_key"))
    for name in {"client_id", "ca_certificate", "client_certificate"} & changes.keys():
        changes[name] = changes[name] or None
    return structs.replace(stored or messages.Broker(host=""), **changes)


def merge_topics(stored: messages.Topics, given: TopicsInput | UnsetType) -> messages.Topics:
    """The topic settings: absent fields stay as stored."""
    return stored if isinstance(given, UnsetType) else structs.replace(stored, **_given(given))


def _given(given: Any, leave_out: tuple[str, ...] = ()) -> dict[str, Any]:
    values = {name: getattr(given, name) for name in given.__struct_fields__ if name not in leave_out}
    return {name: value for name, value in values.items() if value is not UNSET}


def given_secret(given: str | UnsetType | None) -> str | UnsetType | None:
    """A new password or key, null to remove it, or UNSET to keep the stored one (absent, `""` or `"***"`)."""
    return UNSET if given in ("", MASK) else given


def new_subscription(subscription_id: int, given: SubscriptionInput) -> Item:
    """The subscription that a client asks for."""
    return Item(
        id=subscription_id,
        name=given.name,
        topic=given.topic,
        enabled=given.enabled,
        description=given.description,
        actions=settled(given.actions),
        concurrency=given.concurrency,
    )


def merge_subscription(stored: Item, given: SubscriptionPatch) -> Item:
    """The subscription with the fields that were sent."""
    changes = _given(given)
    if "actions" in changes:
        changes["actions"] = settled(changes["actions"])
    return structs.replace(stored, **changes)


def check(wanted: Desired, *found: Fault, fields_of: int | None = None) -> None:
    """Everything that needs the whole configuration.

    found: faults that are known already, to be told with the others.
    fields_of: the id of the subscription whose fields the body holds: its faults then begin at `body`, not at
        `body.subscriptions`.

    Raises:
        InvalidInputError: all faults.
    """
    if faults := [*_faults(wanted, fields_of), *found]:
        raise InvalidInputError(faults)


def _faults(wanted: Desired, fields_of: int | None) -> Iterator[Fault]:
    if wanted.broker:
        yield from _broker_faults(wanted.broker)
    yield from _topics_faults(wanted.topics)
    for index, item in enumerate(wanted.subscriptions):
        loc: list[str | int] = ["body"] if item.id == fields_of else ["body", "subscriptions", index]
        if not _NAME.fullmatch(item.name):
            yield _fault([*loc, "name"], f"must match {_NAME.pattern}", "pattern")
        yield from _topic_faults(item, wanted, loc)


def _broker_faults(broker: messages.Broker) -> Iterator[Fault]:
    if msg := host_fault(broker.host):
        yield _fault(["body", "broker", "host"], msg, "host")
    if "\x00" in (broker.client_id or ""):
        yield _fault(["body", "broker", "client_id"], "must not contain a NUL character", "nul_character")


@functools.lru_cache(maxsize=1024)
def host_fault(host: str) -> str | None:
    """What is wrong with a broker's host: it must be a host name or an IP address, nothing beside it."""
    if not host:
        return "is required"
    if "://" in host:
        return "must be a host name or an IP address without a scheme such as mqtt://; use_tls chooses TLS"
    if _is_address(host):
        return None
    if re.fullmatch(r"[^:]*:\d*", host) or re.fullmatch(r"\[.*\](:\d*)?", host):
        return "must be a host name or an IP address without a port and brackets: the port has its own field"
    if not all(_LABEL.fullmatch(label) for label in host.removesuffix(".").split(".")):
        return "must be a host name (letters, digits, - and dots) or an IP address"
    return None


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    # A zone (fe80::1%eth0) means something on one machine only.
    return "%" not in host


def _topics_faults(wanted: messages.Topics) -> Iterator[Fault]:
    if wanted.use_shared and not wanted.shared_group:
        yield _fault(["body", "topics", "shared_group"], NO_GROUP, "missing")
    # Levels follow after both: a wildcard that must be last can be in neither.
    for name, template in (("prefix", f"{wanted.prefix}/x"), ("pattern", f"x/{wanted.pattern}/x")):
        for msg in topics.faults(template):
            yield _fault(["body", "topics", name], msg, "topic")


def _topic_faults(item: Item, wanted: Desired, loc: list[str | int]) -> Iterator[Fault]:
    # A derived topic is well formed when prefix and pattern are.
    malformed = topics.faults(item.topic) if item.topic is not None else []
    for msg in malformed:
        yield _fault([*loc, "topic"], msg, "topic")
    if malformed:
        return
    template = item.full_topic(wanted.topics)
    for msg in topics.faults(template) or topics.faults(_filled(template, wanted.variables)):
        used = ", ".join(f"{{{name}}}" for name in topics.variables(template) if name in wanted.variables)
        if used:
            yield _fault([*loc, "topic"], f"{msg} once the values of {used} are in", "topic_variables")


def _filled(template: str, values: dict[str, str]) -> str:
    return topics.substitute(template, {name: f"{{{name}}}" for name in topics.variables(template)} | values)


def check_variables(variables: dict[str, str]) -> None:
    """The names and values of a product's variables.

    Raises:
        InvalidInputError: all faults.
    """
    faults = [
        _fault(["body", "variables", name], f"a name must match {_VARIABLE.pattern}", "pattern")
        for name in variables
        if not _VARIABLE.fullmatch(name)
    ]
    if faults:
        raise InvalidInputError(faults)


def _fault(loc: list[str | int], msg: str, kind: str) -> Fault:
    return Fault(loc=loc, msg=msg, type=kind)
