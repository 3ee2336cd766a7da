"""Why a connection to a broker failed, in words that tell an operator what to change. No I/O."""

from __future__ import annotations

import errno
import socket
import ssl
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = [
    "CLOSED_EARLY",
    "CONNACK_DETAILS",
    "Attempt",
    "ConnackError",
    "NotMqttError",
    "Refusal",
    "connack",
    "explain",
    "tls_required",
]


class ConnackError(ConnectionError):
    """The broker answered CONNECT with a return code other than 0."""

    def __init__(self, code: int) -> None:
        super().__init__(f"CONNACK return code {code}")
        self.rc = code


class NotMqttError(ConnectionError):
    """The first bytes that came back, in `head`, are no CONNACK of MQTT 3.1.1."""

    def __init__(self, head: bytes) -> None:
        super().__init__(f"the answer to CONNECT begins with {head!r}")
        self.head = head


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


Stage = Literal["resolve", "connect", "tls", "connack", "connected"]


class Attempt(Struct, kw_only=True):
    """One attempt to connect: whom to, and how far it has come."""

    host: str
    port: int
    use_tls: bool = False
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


def connack(code: int) -> Refusal:
    """The refusal for a return code of MQTT 3.1.1's CONNACK."""
    details = CONNACK_DETAILS.get(code, "The broker refused the connection without a known reason")
    return Refusal(error=f"Connection failed with code {code}", details=details, fatal=code != 3)


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
    # paho's own error numbers look like return codes: only a ConnackError and a translated code are sure.
    return translated if isinstance(error, ConnackError) or translated != value else None


def _not_mqtt(error: BaseException, attempt: Attempt) -> Refusal:
    head = error.head if isinstance(error, NotMqttError) else b""
    # RFC 8446, 5.1: a TLS alert is how a TLS server answers what it cannot read.
    if head.startswith(b"\x15\x03"):
        return tls_required(attempt)
    if attempt.stage == "connected":
        details = f"{attempt.where} sent what is not MQTT 3.1.1: check the broker and what stands before it"
        return Refusal(error="Protocol error", details=details)
    return Refusal(
        error="Not an MQTT broker",
        details=f"{attempt.where} answers, but not with MQTT 3.1.1: check host and port",
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
        f"The certificate of {attempt.where} is not trusted ({error.verify_message}): add its authority to "
        "the trusted certificates of this machine, or have the broker send its whole chain"
    )
    return Refusal(error="TLS certificate not trusted", details=details, fatal=True)


_CLIENT_CERTIFICATE_ALERTS = ("CERTIFICATE_REQUIRED", "BAD_CERTIFICATE", "HANDSHAKE_FAILURE")
_PLAIN_ANSWERS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "UNEXPECTED_MESSAGE")
_VERSION_ALERTS = ("PROTOCOL_VERSION", "UNSUPPORTED_PROTOCOL", "NO_PROTOCOLS_AVAILABLE")


def _tls(error: BaseException, attempt: Attempt) -> Refusal:
    reason = (error.reason if isinstance(error, ssl.SSLError) else None) or ""
    if "EOF" in reason:
        return _closed(error, attempt)
    if any(alert in reason for alert in _CLIENT_CERTIFICATE_ALERTS):
        details = (
            f"{attempt.where} wants a TLS client certificate, which is not supported: use a listener of the "
            "broker that asks for user name and password"
        )
        return Refusal(error="TLS client certificate required", details=details, fatal=True)
    if any(alert in reason for alert in _VERSION_ALERTS):
        details = (
            f"{attempt.where} and this client have no version of TLS in common: allow TLS 1.2 at the broker"
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
