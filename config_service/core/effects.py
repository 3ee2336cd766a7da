"""What a write means for running instances."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mqtt_shared import plan
from mqtt_shared.sealing import Secrets

from .model import Effect
from .references import used_secrets
from .snapshots import build

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from .state import Desired

__all__ = ["effect"]


def effect(before: Desired, after: Desired, *, at: datetime, live: int) -> Effect:
    """The smallest effect that leads an instance from `before` to `after`."""
    old, new = _target(before, at), _target(after, at)
    needed = plan.plan(old, new)
    stays = [i for i in needed.routes if i in old.routes and i in new.routes]
    return Effect(
        connection=needed.connection,
        subscribe=list(needed.subscribe),
        unsubscribe=needed.unsubscribe,
        added=[route.name for i, route in new.routes.items() if i not in old.routes],
        removed=[route.name for i, route in old.routes.items() if i not in new.routes],
        resubscribed=_resubscribed(old, new) if needed.connection == "keep" else [],
        actions_changed=[new.routes[i].name for i in stays if old.routes[i].actions != new.routes[i].actions],
        secrets_changed=sorted(_secrets_changed(old, new)),
        live_instances=live,
    )


def _resubscribed(old: plan.Target, new: plan.Target) -> list[str]:
    # All filters of a target have one QoS.
    asks_anew = {*old.filters.values()} != {*new.filters.values()}
    stay = ((old.routes[i], route) for i, route in new.routes.items() if i in old.routes)
    return [route.name for before, route in stay if asks_anew or before.filter != route.filter]


def _secrets_changed(old: plan.Target, new: plan.Target) -> Iterator[str]:
    before = old.secrets.named
    return (name for name, token in new.secrets.named.items() if before.get(name) != token)


def _target(wanted: Desired, at: datetime) -> plan.Target:
    # Ids and revision do not matter here. A token stands for its secret: it is kept while that is.
    secrets = Secrets(password=wanted.password, client_key=wanted.client_key, named=used_secrets(wanted))
    return plan.resolve(build(1, 0, wanted, at=at, by=""), secrets, {}, keep_unknown=True)
