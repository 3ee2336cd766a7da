"""Why a connection to a broker failed, in words that tell an operator what to change. No I/O."""

from __future__ import annotations

import errno
import socket
import ssl
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from .messages import Protocol
from .tls import TlsSettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = [
    "CLOSED_EARLY",
    "CONNACK_DETAILS",
    "Attempt",
    "ConnackError",
    "EndedByBrokerError",
    "NotMqttError",
    "Refusal",
    "WebSocketError",
    "connack",
    "explain",
    "not_subscribed",
    "tls_required",
]


class ConnackError(ConnectionError):
    """The broker answered CONNECT with a code other than 0; `words` are its own (MQTT 5)."""

    def __init__(self, code: int, *, protocol: Protocol = "3.1.1", words: str = "") -> None:
        super().__init__(f"CONNACK code {code}")
        self.rc = code
        self.protocol: Protocol = protocol
        self.words = words


class EndedByBrokerError(ConnectionError):
    """The broker ended the connection with a DISCONNECT (MQTT 5, 3.14); `words` are its own."""

    def __init__(self, code: int, words: str = "") -> None:
        super().__init__(f"DISCONNECT code {code}")
        self.code = code
        self.words = words


class NotMqttError(ConnectionError):
    """What came is not MQTT; `head` are its first bytes."""

    def __init__(self, head: bytes) -> None:
        super().__init__(f"the answer to CONNECT begins with {head!r}")
        self.head = head


class WebSocketError(ConnectionError):
    """The WebSocket was refused, with the HTTP `status` if there was one, or closed."""

    def __init__(self, text: str, status: int | None = None) -> None:
        super().__init__(text)
        self.status = status


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


Stage = Literal["resolve", "connect", "tls", "websocket", "connack", "connected"]


class Attempt(Struct, kw_only=True):
    """One attempt to connect: whom to, and how far it has come."""

    host: str
    port: int
    use_tls: bool = False
    has_identity: bool = False
    """Is a client certificate set?"""
    protocol: Protocol = "3.1.1"
    stage: Stage = "resolve"

    @property
    def where(self) -> str:
        """`host:port`, with the brackets of an IPv6 address."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


CLOSED_EARLY = "Connection closed before CONNACK"

# MQTT 3.1.1, table 3.1 (section 3.2.2.3).
CONNACK_DETAILS = {
    1: "Incorrect protocol version",
    2: "Invalid client identifier",
    3: "Server unavailable",
    4: "Bad username or password",
    5: "Not authorized",
}

# The reason codes of MQTT 5 that paho puts in place of the return codes.
_RETURN_CODES = {132: 1, 133: 2, 136: 3, 134: 4, 135: 5}


# MQTT 5, 2.4 and the tables of CONNACK, SUBACK and DISCONNECT: what each code asks of the operator.
_REASONS = {
    0x00: "the broker ended the connection",
    0x80: "the broker gives no reason",
    0x81: "the broker takes our packet for malformed",
    0x82: "the broker sees a breach of the protocol",
    0x83: "the broker does not accept it",
    0x84: "Unsupported protocol version: set protocol to 3.1.1",
    0x85: "Invalid client identifier: set another client_id",
    0x86: "Bad username or password",
    0x87: "Not authorized: check the access rules of this user at the broker",
    0x88: "Server unavailable",
    0x89: "the broker is busy",
    0x8A: "this client is banned at the broker",
    0x8B: "the broker is shutting down",
    0x8C: "Bad authentication method",
    0x8D: "the broker heard nothing for the time of keep_alive",
    0x8E: "another client connected with the same client id: give each its own",
    0x8F: "the broker takes this for an invalid filter: correct the topic",
    0x90: "the broker takes a topic for invalid",
    0x91: "the packet identifier is in use",
    0x93: "more messages in flight than allowed",
    0x94: "invalid topic alias",
    0x95: "the packet is larger than the broker allows",
    0x96: "messages come at a higher rate than the broker allows",
    0x97: "a quota of this user at the broker is used up",
    0x98: "an administrator of the broker ended it",
    0x99: "the payload has another format than said",
    0x9A: "the broker does not keep retained messages",
    0x9B: "the broker does not support this QoS: lower qos",
    0x9C: "use another server for now",
    0x9D: "the server has moved: change host",
    0x9E: "the broker does not support shared subscriptions: switch use_shared off",
    0x9F: "connections come at a higher rate than the broker allows",
    0xA0: "the connection has reached the longest time that the broker allows",
    0xA1: "the broker does not support subscription identifiers",
    0xA2: "the broker does not support wildcards: name each topic",
}
# Time alone may heal these.
_PASSING = frozenset({0x80, 0x83, 0x88, 0x89, 0x8B, 0x8D, 0x93, 0x96, 0x97, 0x98, 0x9C, 0x9F, 0xA0})


def _reason(code: int, words: str) -> str:
    reason = _REASONS.get(code, "a reason unknown to MQTT 5")
    return f"{reason} (the broker says: {words})" if words else reason


def connack(code: int, *, protocol: Protocol = "3.1.1", words: str = "") -> Refusal:
    """The refusal for the code of a CONNACK: a return code of MQTT 3.1.1, or a reason code of MQTT 5."""
    error = f"Connection failed with code {code}"
    if protocol == "5":
        return Refusal(error=error, details=_reason(code, words), fatal=code not in _PASSING)
    details = CONNACK_DETAILS.get(code, "The broker refused the connection without a known reason")
    return Refusal(error=error, details=details, fatal=code != 3)


def not_subscribed(code: int, words: str = "") -> str:
    """Why a filter was refused, from its code in the SUBACK (MQTT 3.1.1 and 5, 3.9.3)."""
    if code == 0x80:
        told = f" (the broker says: {words})" if words else ""
        return f"the broker refused the subscription{told}: check the access rules of this user"
    return f"refused with code {code}: {_reason(code, words)}"


def explain(error: BaseException, attempt: Attempt) -> Refusal:
    """The refusal behind an exception that ended `attempt`; the first known one of its causes counts."""
    for cause in _chain(error):
        if refusal := _known(cause, attempt):
            return refusal
    return Refusal(error="Connection failed", details=_text(error))


def tls_required(attempt: Attempt) -> Refusal:
    """The port speaks TLS and was spoken to without."""
    return Refusal(
        error="Port expects TLS",
        details=f"{attempt.where} speaks TLS: switch use_tls on, or use the broker's plain port (often 1883)",
        fatal=True,
    )


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen = set[int]()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _known(error: BaseException, attempt: Attempt) -> Refusal | None:
    if isinstance(error, ConnackError):
        return connack(error.rc, protocol=error.protocol, words=error.words)
    code = _return_code(error)
    if code is not None:
        return connack(code)
    for kind, describe in _KINDS:
        if isinstance(error, kind):
            return describe(error, attempt)
    return None


def _return_code(error: BaseException) -> int | None:
    code = getattr(error, "rc", None)
    value = getattr(code, "value", code)
    if not isinstance(value, int):
        return None
    translated = _RETURN_CODES.get(value, value)
    # paho's own error numbers look like return codes: only a translated code is sure.
    return translated if translated != value else None


def _not_mqtt(error: BaseException, attempt: Attempt) -> Refusal:
    head = error.head if isinstance(error, NotMqttError) else b""
    # RFC 8446, 5.1: a TLS alert is how a TLS server answers what it cannot read.
    if head.startswith(b"\x15\x03"):
        return tls_required(attempt)
    if attempt.stage == "connected":
        details = (
            f"{attempt.where} sent what is not MQTT {attempt.protocol}: check the broker and what stands "
            "before it"
        )
        return Refusal(error="Protocol error", details=details)
    return Refusal(
        error="Not an MQTT broker",
        details=f"{attempt.where} answers, but not with MQTT {attempt.protocol}: check host and port",
        fatal=True,
    )


def _dns(error: BaseException, attempt: Attempt) -> Refusal:
    if isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN:
        details = f"The name server did not answer for {attempt.host!r}: check the network, then try again"
        return Refusal(error="Host name lookup failed", details=details)
    details = f"No address is known for {attempt.host!r}: check the spelling of the host, and DNS"
    return Refusal(error="Host not found", details=details)


def _invalid_host(error: BaseException, attempt: Attempt) -> Refusal:
    return Refusal(
        error="Invalid host name",
        details=f"{attempt.host!r} is no host name and no IP address ({_text(error)}): correct the host",
        fatal=True,
    )


def _connection_refused(_: BaseException, attempt: Attempt) -> Refusal:
    details = f"Nothing listens on {attempt.where}: check host and port, and whether the broker runs"
    return Refusal(error="Connection refused", details=details)


_UNREACHABLE = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL, errno.EACCES)


def _unreachable(error: BaseException, attempt: Attempt) -> Refusal:
    details = f"No way to {attempt.where} ({_text(error)}): check the host, routes and firewalls"
    return Refusal(error="Host unreachable", details=details)


_TIMEOUTS: dict[Stage, tuple[str, str]] = {
    "resolve": ("Host name lookup timed out", "The name server did not answer: check the host and DNS"),
    "connect": ("Connection timed out", "{where} does not answer: check host, port and firewalls"),
    "tls": (
        "TLS handshake timed out",
        "{where} takes connections but does not answer in TLS: switch use_tls off if it is a plain port, or "
        "use the broker's TLS port (often 8883)",
    ),
    "websocket": (
        "WebSocket handshake timed out",
        "{where} takes connections but does not answer as a WebSocket: check transport, port and "
        "websocket_path",
    ),
    "connack": (
        "No CONNACK",
        "{where} takes connections but does not answer as an MQTT broker: check the port, and whether it "
        "needs TLS",
    ),
    "connected": (
        "Broker not responding",
        "{where} has stopped answering: check the network and whether the broker is overloaded",
    ),
}


def _timeout(_: BaseException, attempt: Attempt) -> Refusal:
    error, details = _TIMEOUTS[attempt.stage]
    return Refusal(error=error, details=details.format(where=attempt.where))


def _closed(_: BaseException, attempt: Attempt) -> Refusal:
    if attempt.stage == "tls":
        return _plain_port(attempt)
    if attempt.stage == "websocket":
        details = (
            f"{attempt.where} closed the connection without answering as a WebSocket: check transport, port "
            "and websocket_path"
        )
        return Refusal(error="Not a WebSocket", details=details, fatal=True)
    if attempt.stage == "connected":
        details = (
            f"{attempt.where} closed the connection: the broker stopped, ended this session, or another "
            "client connected with the same client id"
        )
        return Refusal(error="Connection lost", details=details)
    expected = "a client certificate" if attempt.use_tls else "TLS"
    details = (
        f"{attempt.where} closed the connection without an answer: check whether the port expects {expected} "
        "or another protocol, and look into the broker's log"
    )
    return Refusal(error=CLOSED_EARLY, details=details)


def _ended(error: BaseException, attempt: Attempt) -> Refusal:
    assert isinstance(error, EndedByBrokerError)
    title = {0x8B: "Server shutting down", 0x8E: "Session taken over"}.get(error.code, "Ended by the broker")
    details = (
        f"{attempt.where} ended the connection with code {error.code}: {_reason(error.code, error.words)}"
    )
    return Refusal(error=title, details=details, fatal=error.code not in {*_PASSING, 0x00, 0x8E})


def _websocket(error: BaseException, attempt: Attempt) -> Refusal:
    assert isinstance(error, WebSocketError)
    if attempt.stage == "connected":
        return Refusal(error="Connection lost", details=f"{attempt.where}: the WebSocket was {error}")
    what = f"HTTP status {error.status}" if error.status else str(error)
    details = f"{attempt.where} did not open a WebSocket ({what}): check transport, port and websocket_path"
    passing = error.status is not None and error.status >= 500
    return Refusal(error="WebSocket refused", details=details, fatal=not passing)


def _tls_settings(error: BaseException, _: Attempt) -> Refusal:
    return Refusal(error="TLS settings not usable", details=f"{error}: correct it", fatal=True)


def _plain_port(attempt: Attempt) -> Refusal:
    return Refusal(
        error="Port does not speak TLS",
        details=f"{attempt.where} did not answer in TLS: switch use_tls off if it is a plain port, or use "
        "the broker's TLS port (often 8883)",
        fatal=True,
    )


# OpenSSL's X509_V_ERR_ numbers.
_EXPIRED, _NOT_YET_VALID = 10, 9
_WRONG_NAME = (62, 64)


def _certificate(error: BaseException, attempt: Attempt) -> Refusal:
    assert isinstance(error, ssl.SSLCertVerificationError)
    if error.verify_code == _EXPIRED:
        details = f"The certificate of {attempt.where} has expired: renew it at the broker"
        return Refusal(error="TLS certificate expired", details=details)
    if error.verify_code == _NOT_YET_VALID:
        details = f"The certificate of {attempt.where} is not valid yet: check the clocks of both machines"
        return Refusal(error="TLS certificate not yet valid", details=details)
    if error.verify_code in _WRONG_NAME:
        details = (
            f"The certificate of {attempt.where} is not for {attempt.host!r}: use a host name that is in the "
            "certificate, or have the broker's certificate name this host"
        )
        return Refusal(error="TLS certificate for another host", details=details, fatal=True)
    details = (
        f"The certificate of {attempt.where} is not trusted ({error.verify_message}): set ca_certificate to "
        "its authority, or have the broker send its whole chain"
    )
    return Refusal(error="TLS certificate not trusted", details=details, fatal=True)


_CLIENT_CERTIFICATE_ALERTS = ("CERTIFICATE_REQUIRED", "BAD_CERTIFICATE", "HANDSHAKE_FAILURE", "UNKNOWN_CA")
_PLAIN_ANSWERS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "UNEXPECTED_MESSAGE")
_VERSION_ALERTS = ("PROTOCOL_VERSION", "UNSUPPORTED_PROTOCOL", "NO_PROTOCOLS_AVAILABLE")


def _tls(error: BaseException, attempt: Attempt) -> Refusal:
    reason = (error.reason if isinstance(error, ssl.SSLError) else None) or ""
    if "EOF" in reason:
        return _closed(error, attempt)
    if any(alert in reason for alert in _CLIENT_CERTIFICATE_ALERTS):
        if attempt.has_identity:
            details = (
                f"{attempt.where} does not accept our client_certificate ({reason}): use one that an "
                "authority signed which the broker trusts"
            )
            return Refusal(error="TLS client certificate refused", details=details, fatal=True)
        details = (
            f"{attempt.where} wants a TLS client certificate: set client_certificate and client_key, or "
            "use a listener of the broker that asks for user name and password"
        )
        return Refusal(error="TLS client certificate required", details=details, fatal=True)
    if any(alert in reason for alert in _VERSION_ALERTS):
        details = (
            f"{attempt.where} and this client have no version of TLS in common: lower tls_min_version, or "
            "allow a newer version at the broker"
        )
        return Refusal(error="TLS version not supported", details=details, fatal=True)
    if any(answer in reason for answer in _PLAIN_ANSWERS):
        return _plain_port(attempt)
    details = f"TLS with {attempt.where} failed ({_text(error)}): check the broker's TLS settings and its log"
    return Refusal(error="TLS failure", details=details)


def _text(error: BaseException) -> str:
    return (error.strerror if isinstance(error, OSError) and error.strerror else str(error)) or repr(error)


def _os_error(error: BaseException, attempt: Attempt) -> Refusal:
    if getattr(error, "errno", None) in _UNREACHABLE:
        return _unreachable(error, attempt)
    details = f"The connection to {attempt.where} failed ({_text(error)}): check host, port and network"
    return Refusal(error="Connection failed", details=details)


# The first kind that fits counts: from the special to the general.
_KINDS: list[tuple[type[BaseException], Callable[[BaseException, Attempt], Refusal]]] = [
    (NotMqttError, _not_mqtt),
    (EndedByBrokerError, _ended),
    (WebSocketError, _websocket),
    (TlsSettingsError, _tls_settings),
    (ssl.SSLCertVerificationError, _certificate),
    (ssl.SSLEOFError, _closed),
    (ssl.SSLZeroReturnError, _closed),
    (ssl.SSLError, _tls),
    (socket.gaierror, _dns),
    (ValueError, _invalid_host),
    (TimeoutError, _timeout),
    (ConnectionRefusedError, _connection_refused),
    (EOFError, _closed),
    (ConnectionError, _closed),
    (OSError, _os_error),
]
