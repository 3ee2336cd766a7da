"""The table of all routes: what is registered is what is documented."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import (
    configs,
    docs,
    events,
    fleet,
    health,
    history,
    instances,
    products,
    revisions,
    secrets,
    sessions,
    subscriptions,
    tokens,
)

if TYPE_CHECKING:
    from ..routing import Route

__all__ = ["ROUTES"]

ROUTES: tuple[Route, ...] = (
    *configs.ROUTES,
    *subscriptions.ROUTES,
    *instances.ROUTES,
    *history.ROUTES,
    *revisions.ROUTES,
    *fleet.ROUTES,
    *events.ROUTES,
    *products.ROUTES,
    *secrets.ROUTES,
    *tokens.ROUTES,
    *sessions.ROUTES,
    *health.ROUTES,
    *docs.ROUTES,
)
