"""The paths that several modules share."""

from __future__ import annotations

__all__ = ["BASE", "CONFIG", "PRODUCT", "SUBSCRIPTION", "SUBSCRIPTIONS"]

BASE = "/api/v1"
PRODUCT = f"{BASE}/products/{{product_id}}"
CONFIG = f"{PRODUCT}/mqtt-config"
SUBSCRIPTIONS = f"{CONFIG}/subscriptions"
SUBSCRIPTION = f"{SUBSCRIPTIONS}/{{subscription_id}}"
