"""What is wrong with a configuration that can be applied, told before a message comes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mqtt_shared.templates import faults, secret_names

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from mqtt_shared.plan import Target

__all__ = ["concerns", "unverified"]


def concerns(target: Target, types: Collection[str], *, has_mail: bool) -> Iterator[str]:
    """What will not work of its actions, one line for each. `types`: those that can be run here."""
    for route in target.routes.values():
        for index, action in enumerate(route.actions):
            for words in _of(action, types, target.secrets.named, has_mail=has_mail):
                yield f"subscription {route.name}, action {index}: {words}"


def unverified(target: Target) -> str | None:
    """A warning where the broker's certificate is not checked."""
    broker = target.broker
    if broker is None or not broker.use_tls or broker.verify_cert:
        return None
    return (
        "THE BROKER'S CERTIFICATE IS NOT VERIFIED: anybody on the way can pose as the broker, and read the "
        "password; switch verify_cert on, with a ca_certificate where the authority is your own"
    )


def _of(
    action: Mapping[str, Any], types: Collection[str], secrets: Collection[str], *, has_mail: bool
) -> Iterator[str]:
    action_type, config = action.get("type"), action.get("config")
    if action_type not in types:
        yield f"nothing here runs the type {action_type!r}; look at ACTIONS"
    if action_type == "smtp_email" and not has_mail:
        yield "no mail server: set SMTP_URL and SMTP_FROM"
    for place, words in faults(config, "config"):
        yield f"{place}: {words}"
    for name in sorted(secret_names(config) - set(secrets)):
        yield f"the product has no secret {name!r}"
