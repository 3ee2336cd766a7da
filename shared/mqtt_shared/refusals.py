"""Why a connection to a broker failed, in words that tell an operator what to change."""

from __future__ import annotations

from msgspec import Struct

__all__ = ["CONNACK_DETAILS", "Refusal", "connack"]


class Refusal(Struct, frozen=True, kw_only=True):
    """One reason.

    error: short and stable, as `POST .../mqtt-config/test` answers it. details: a sentence that says what to
    change. fatal: trying again with the same settings will not help.
    """

    error: str
    details: str
    fatal: bool = False

    def __str__(self) -> str:
        return f"{self.error}: {self.details}"


# MQTT 3.1.1, table 3.1 (section 3.2.2.3).
CONNACK_DETAILS = {
    1: "Incorrect protocol version",
    2: "Invalid client identifier",
    3: "Server unavailable",
    4: "Bad username or password",
    5: "Not authorized",
}


def connack(code: int) -> Refusal:
    """The refusal for a return code of MQTT 3.1.1's CONNACK."""
    details = CONNACK_DETAILS.get(code, "The broker refused the connection without a known reason")
    return Refusal(error=f"Connection failed with code {code}", details=details, fatal=code != 3)
