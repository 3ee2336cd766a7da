"""An instance of a product: consumes MQTT messages as its configuration says, and follows every change."""

from mqtt_shared.event import Event

from .actions import Actions
from .errors import ActionError, InstanceError, PermanentActionError, RejectedError, StateInUseError
from .instance import ProductInstance
from .settings import InstanceSettings

__all__ = [
    "ActionError",
    "Actions",
    "Event",
    "InstanceError",
    "InstanceSettings",
    "PermanentActionError",
    "ProductInstance",
    "RejectedError",
    "StateInUseError",
]
