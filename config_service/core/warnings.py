"""What an operator should know about a configuration that is valid all the same."""

from __future__ import annotations

from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING

from mqtt_shared import topics

from . import certificates
from .model import Warn
from .overlaps import overlapping
from .references import references

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from mqtt_shared.messages import Broker

    from .state import Desired, Item, LiveInstance

__all__ = ["MOST_OVERLAPS", "warnings"]

MOST_OVERLAPS = 20
"""More pairs are not told."""
_SOON = timedelta(days=30)


def warnings(wanted: Desired, live: Sequence[LiveInstance], *, now: datetime) -> list[Warn]:
    """All warnings about the configuration, with `loc` as in an export."""
    if wanted.broker is None:
        return []
    enabled = [item for item in wanted.subscriptions if item.enabled]
    return [
        *_broker(wanted.broker, len(live)),
        *_session(wanted.broker, wanted.topics.qos),
        *_certificates(wanted.broker, now),
        *_variables(wanted, enabled),
        *_actions(enabled, live),
        *_secrets(wanted, enabled),
        *_overlaps(wanted, enabled),
    ]


def _broker(broker: Broker, live: int) -> Iterator[Warn]:
    if broker.use_tls and not broker.verify_cert:
        yield _warn(
            "broker.verify_cert", "any server can pose as the broker: switch verify_cert on", "tls_unverified"
        )
    if broker.client_id and "{instance_id}" not in broker.client_id and live > 1:
        msg = f"{live} live instances throw each other out: put {{instance_id}} into it, or leave it empty"
        yield _warn("broker.client_id", msg, "client_id_shared")


def _session(broker: Broker, qos: int) -> Iterator[Warn]:
    if not qos:
        return
    lost = f"messages of QoS {qos} that arrive while an instance is away are lost"
    if broker.clean_session:
        yield _warn("broker.clean_session", f"with clean_session, {lost}", "clean_session")
    elif broker.protocol == "5" and not broker.session_expiry_seconds:
        msg = f"a session that expires after 0 seconds ends with its connection: {lost}"
        yield _warn("broker.session_expiry_seconds", msg, "session_expiry")


def _certificates(broker: Broker, now: datetime) -> Iterator[Warn]:
    for name in ("ca_certificate", "client_certificate"):
        if (text := getattr(broker, name)) is None:
            continue
        if not broker.use_tls:
            yield _warn(f"broker.{name}", "is used with use_tls alone, which is off", "tls_off")
        if (end := certificates.ends_at(text)) < now + _SOON:
            verb, kind = ("expired", "expired") if end <= now else ("expires", "expires_soon")
            yield _warn(f"broker.{name}", f"{verb} on {end:%Y-%m-%d}: have a new one issued", kind)


def _variables(wanted: Desired, enabled: Sequence[Item]) -> Iterator[Warn]:
    for item in enabled:
        names = topics.variables(item.full_topic(wanted.topics))
        if unknown := [f"{{{name}}}" for name in names if name not in wanted.variables]:
            msg = f"no value for {', '.join(unknown)}: an instance that has none either rejects the revision"
            yield _warn(f"subscriptions.{item.name}.topic", msg, "unknown_variable")


def _actions(enabled: Sequence[Item], live: Sequence[LiveInstance]) -> Iterator[Warn]:
    if not live:
        return
    known = {kind for instance in live for kind in instance.action_types}
    for item in enabled:
        for index, action in enumerate(item.actions):
            if (kind := str(action.get("type"))) not in known:
                loc: list[str | int] = ["subscriptions", item.name, "actions", index, "type"]
                yield Warn(loc=loc, msg=f"no live instance can run {kind!r}", type="unknown_action_type")


def _secrets(wanted: Desired, enabled: Sequence[Item]) -> Iterator[Warn]:
    for item, index, name in references(enabled):
        if name not in wanted.secrets:
            loc: list[str | int] = ["subscriptions", item.name, "actions", index, "config"]
            msg = f"the product has no secret {name}: the action fails until there is one"
            yield Warn(loc=loc, msg=msg, type="unknown_secret")


def _overlaps(wanted: Desired, enabled: Sequence[Item]) -> Iterator[Warn]:
    filters = ((item.name, _filled(item, wanted)) for item in enabled)
    for one, other in islice(overlapping(filters), MOST_OVERLAPS):
        msg = f"overlaps with the topic of {one}: a message may be handled by both"
        yield _warn(f"subscriptions.{other}.topic", msg, "overlapping_topics")


def _filled(item: Item, wanted: Desired) -> str:
    template = item.full_topic(wanted.topics)
    unknown = {name: f"{{{name}}}" for name in topics.variables(template)}
    return topics.substitute(template, unknown | wanted.variables)


def _warn(path: str, msg: str, kind: str) -> Warn:
    return Warn(loc=[*path.split(".")], msg=msg, type=kind)
