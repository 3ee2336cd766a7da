"""What can go wrong in an instance."""

from __future__ import annotations

from .core.configuration import RejectedError

__all__ = [
    "ActionError",
    "InstanceError",
    "PayloadGoneError",
    "PermanentActionError",
    "RejectedError",
    "StateInUseError",
    "UnknownActionError",
]


class InstanceError(Exception):
    """Base of the errors of the library itself."""


class StateInUseError(InstanceError):
    """Another running instance has the same STATE_DIR and instance id."""


class PayloadGoneError(InstanceError):
    """The stream no longer has all of a dead letter's payload."""


class ActionError(InstanceError):
    """An action could not be carried out; it is tried again as its `retries` say."""


class PermanentActionError(ActionError):
    """An action can never be carried out for this message: trying again would not help."""


class UnknownActionError(PermanentActionError):
    """No handler is registered for the type of an action."""
