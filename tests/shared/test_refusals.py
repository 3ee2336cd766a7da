from __future__ import annotations

import errno
import socket
import ssl

import pytest
from aiomqtt.exceptions import MqttCodeError, MqttConnectError, MqttError
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from mqtt_shared.refusals import Attempt, ConnackError, NotMqttError, Refusal, Stage, connack, explain


def attempt(stage: Stage = "connack", *, use_tls: bool = False) -> Attempt:
    return Attempt(host="broker.example.com", port=1883, use_tls=use_tls, stage=stage)


def certificate_error(code: int) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code, error.verify_message = code, "a reason of OpenSSL"
    return error


def tls_error(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, reason)
    error.reason = reason
    return error


CONNACKS = {
    1: "Incorrect protocol version",
    2: "Invalid client identifier",
    3: "Server unavailable",
    4: "Bad username or password",
    5: "Not authorized",
}


@pytest.mark.parametrize(("code", "details"), CONNACKS.items())
def test_return_codes_keep_their_numbers_and_words(code: int, details: str) -> None:
    expected = Refusal(error=f"Connection failed with code {code}", details=details, fatal=code != 3)
    assert connack(code) == expected
    assert explain(ConnackError(code), attempt()) == expected


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("Unsupported protocol version", 1),
        ("Client identifier not valid", 2),
        ("Server unavailable", 3),
        ("Bad user name or password", 4),
        ("Not authorized", 5),
    ],
)
def test_translated_codes_of_aiomqtt_are_told_as_return_codes(name: str, code: int) -> None:
    error = MqttConnectError(ReasonCode(PacketTypes.CONNACK, name))
    assert explain(error, attempt()) == connack(code)


def test_an_unknown_return_code_is_named() -> None:
    assert explain(ConnackError(77), attempt()).error == "Connection failed with code 77"


def test_error_numbers_of_paho_are_no_return_codes() -> None:
    assert explain(MqttCodeError(4, "not connected"), attempt()).error == "Connection failed"


KINDS: dict[str, tuple[BaseException, Attempt]] = {
    "Host not found": (socket.gaierror(socket.EAI_NONAME, "unknown"), attempt("resolve")),
    "Host name lookup failed": (socket.gaierror(socket.EAI_AGAIN, "try again"), attempt("resolve")),
    "Host name lookup timed out": (TimeoutError(), attempt("resolve")),
    "Invalid host name": (UnicodeError("label too long"), attempt("resolve")),
    "Invalid host name ": (ValueError("embedded null character"), attempt("resolve")),
    "Connection refused": (ConnectionRefusedError(111, "refused"), attempt("connect")),
    "Connection timed out": (TimeoutError(), attempt("connect")),
    "Host unreachable": (OSError(errno.EHOSTUNREACH, "no route"), attempt("connect")),
    "TLS certificate not trusted": (certificate_error(20), attempt("tls", use_tls=True)),
    "TLS certificate expired": (certificate_error(10), attempt("tls", use_tls=True)),
    "TLS certificate not yet valid": (certificate_error(9), attempt("tls", use_tls=True)),
    "TLS certificate for another host": (certificate_error(62), attempt("tls", use_tls=True)),
    "TLS client certificate required": (
        tls_error("TLSV13_ALERT_CERTIFICATE_REQUIRED"),
        attempt("connack", use_tls=True),
    ),
    "TLS version not supported": (tls_error("TLSV1_ALERT_PROTOCOL_VERSION"), attempt("tls", use_tls=True)),
    "TLS failure": (tls_error("SOMETHING_NEW"), attempt("tls", use_tls=True)),
    "TLS handshake timed out": (TimeoutError(), attempt("tls", use_tls=True)),
    "Port does not speak TLS": (tls_error("WRONG_VERSION_NUMBER"), attempt("tls", use_tls=True)),
    "Port expects TLS": (NotMqttError(b"\x15\x03\x03\x00"), attempt()),
    "Not an MQTT broker": (NotMqttError(b"HTTP"), attempt()),
    "No CONNACK": (TimeoutError(), attempt()),
    "Connection closed before CONNACK": (EOFError(), attempt()),
    "Connection lost": (ConnectionResetError(104, "reset"), attempt("connected")),
    "Broker not responding": (TimeoutError(), attempt("connected")),
    "Protocol error": (NotMqttError(b""), attempt("connected")),
    "Connection failed": (OSError(errno.EIO, "input/output error"), attempt("connect")),
}


@pytest.mark.parametrize("name", KINDS)
def test_each_fault_has_an_error_of_its_own_and_says_what_to_change(name: str) -> None:
    error, tried = KINDS[name]
    refusal = explain(error, tried)
    assert refusal.error == name.strip()
    assert len(refusal.details) > 30
    assert ":" in refusal.details


def test_the_cause_counts_not_what_it_is_wrapped_in() -> None:
    wrapped = MqttError("[Errno 111] Connection refused")
    wrapped.__cause__ = ConnectionRefusedError(111, "Connection refused")
    assert explain(wrapped, attempt("connect")).error == "Connection refused"


def test_a_ring_of_causes_ends() -> None:
    one, other = RuntimeError("one"), RuntimeError("other")
    one.__cause__, other.__cause__ = other, one
    assert explain(one, attempt()) == Refusal(error="Connection failed", details="one")


def test_closed_by_a_tls_peer_is_told_as_closed() -> None:
    assert explain(ssl.SSLEOFError(8, "EOF"), attempt("tls", use_tls=True)).error == "Port does not speak TLS"
    lost = explain(ssl.SSLEOFError(8, "EOF"), attempt("connected", use_tls=True))
    assert lost.error == "Connection lost"


def test_an_ipv6_address_is_written_with_brackets() -> None:
    assert Attempt(host="::1", port=1883).where == "[::1]:1883"
