"""What actions, conditions and templates see of a message."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from typing import Any

import msgspec
from msgspec import Struct

from .messages import Timestamp

__all__ = ["Event", "content", "message_id"]


class Event(Struct, frozen=True, kw_only=True):
    """One message in one subscription; encoded, the default body of actions that send it on.

    payload: the decoded JSON, else the text, else null with `payload_base64` set. revision: of the
    configuration that the message was received under; null on the fallback.
    """

    product_id: int
    instance_id: str
    subscription: str
    topic: str
    payload: Any
    payload_base64: str | None
    qos: int
    retain: bool
    received_at: Timestamp
    message_id: str
    revision: int | None


# RFC 8259. Finding out by an exception that a payload is no JSON takes seven times as long.
_JSON_STARTS = frozenset(bytes((each,)) for each in b' \t\n\r{["-0123456789tfn')


def content(payload: bytes) -> tuple[Any, str | None]:
    """`payload` and `payload_base64` of an event."""
    if payload[:1] in _JSON_STARTS:
        try:
            return msgspec.json.decode(payload), None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass
    try:
        return payload.decode(), None
    except UnicodeDecodeError:
        return None, b64encode(payload).decode()


def message_id(client_id: str, mid: int, topic: str, payload: bytes) -> str:
    """The same for a redelivery in the same session: MQTT redelivers under the same packet identifier.

    Packet identifiers come round after 65,535 messages (2.2.1), so equal content can then have an equal id.
    """
    # A NUL is in neither a client id nor a topic (1.5.3), so that the parts cannot run into each other.
    head = f"{client_id}\0{mid}\0{topic}\0".encode("utf-8", "surrogatepass")
    return hashlib.sha256(head + payload).hexdigest()[:32]
