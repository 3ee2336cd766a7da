"""An instance of a product: consumes MQTT messages as its configuration says, and follows every change."""

from .actions import Actions
from .core.event import Event
from .errors import ActionError, InstanceError, RejectedError, StateInUseError
from .instance import ProductInstance
from .settings import InstanceSettings

__all__ = [
    "ActionError",
    "Actions",
    "Event",
    "InstanceError",
    "InstanceSettings",
    "ProductInstance",
    "RejectedError",
    "StateInUseError",
]
