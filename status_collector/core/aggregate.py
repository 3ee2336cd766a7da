"""The status of a product from its instances.

- connected: at least one live instance is connected. `last_connected_at` and `last_disconnected_at` are when
  that began and ended to be so.
- `subscribed_topics_count`: the most that a live connected instance has; 0 when none is connected.
- `client_id`, `broker_info`: of the live instance that has been connected longest, so that they do not change
  when another one joins; null when none is connected.
- `connection_error`: of the live failing instance that was heard last when something changed; null when no
  live instance is failing.
- `messages_received`: a total of its own, so that it does not fall when a subscription is deleted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from mqtt_shared.messages import Counters, ProductStatus

from .fold import latest

if TYPE_CHECKING:
    from datetime import datetime

    from .model import Live, Status

__all__ = ["aggregate", "as_message", "count"]


def aggregate(before: Status, live: Live, now: datetime) -> Status:
    """The status now that the live instances are `live`."""
    connected = live.connected > 0
    return structs.replace(
        before,
        connected=connected,
        last_connected_at=now if connected and not before.connected else before.last_connected_at,
        last_disconnected_at=now if before.connected and not connected else before.last_disconnected_at,
        connection_error=live.connection_error,
        subscribed_topics_count=live.subscribed_topics_count if connected else 0,
        client_id=live.client_id if connected else None,
        broker_info=live.broker_info if connected else None,
    )


def count(before: Status, gained: Counters) -> Status:
    """The status with more messages."""
    return structs.replace(
        before,
        messages_received=before.messages_received + gained.messages_received,
        last_message_at=latest(before.last_message_at, gained.last_message_at),
    )


def as_message(product_id: int, status: Status, now: datetime) -> ProductStatus:
    """The status as it goes out on NATS."""
    return ProductStatus(product_id=product_id, updated_at=now, **structs.asdict(status))
