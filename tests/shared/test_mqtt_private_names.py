"""What `mqtt_shared.mqtt` takes for granted of aiomqtt and paho beyond their public interfaces.

A new version of either that fails here needs a look at that module before the pin moves.
"""

from __future__ import annotations

import inspect
from importlib.metadata import requires, version
from typing import Any, cast

import aiomqtt
import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

METHODS = {
    "_create_socket": ["self"],
    "_sock_close": ["self"],
    "_send_pubrec": ["self", "mid"],
    "_handle_pubrel": ["self"],
}
ATTRIBUTES = ("_in_messages", "_in_packet", "_keepalive", "_ping_t")


def source(function: Any) -> str:
    return inspect.getsource(function)


@pytest.fixture
def client() -> Any:
    return paho.Client(CallbackAPIVersion.VERSION2)


def test_both_are_pinned_to_the_versions_that_were_read() -> None:
    pins = {f"{name}=={version(name)}" for name in ("aiomqtt", "paho-mqtt")}
    assert pins == {"aiomqtt==2.5.1", "paho-mqtt==2.2.0"}
    assert pins <= set(requires("mqtt-control-plane") or [])


@pytest.mark.parametrize("name", METHODS)
def test_the_methods_take_what_is_given(name: str) -> None:
    assert list(inspect.signature(getattr(paho.Client, name)).parameters) == METHODS[name]


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_the_attributes_are_there(client: Any, name: str) -> None:
    assert hasattr(client, name)


def test_the_socket_is_asked_for_where_it_is_given(client: Any) -> None:
    assert "self._sock = self._create_socket()" in source(client.reconnect)
    assert "self._sock.setblocking(False)" in source(client.reconnect)


async def test_aiomqtt_keeps_paho_and_waits_for_ever_when_told() -> None:
    made = cast("Any", aiomqtt.Client("example.com"))
    assert isinstance(made._client, paho.Client)
    assert isinstance(inspect.getattr_static(aiomqtt.Client, "_pending_calls"), property)
    assert "timeout == math.inf" in source(aiomqtt.Client._wait_for)  # pyright: ignore[reportPrivateUsage] - that is the point


async def test_aiomqtt_keeps_the_answers_of_calls() -> None:
    made = cast("Any", aiomqtt.Client("example.com"))._client
    for name in ("on_subscribe", "on_unsubscribe", "on_publish"):
        assert getattr(made, name).__self__.__class__ is aiomqtt.Client


def test_packet_ids_of_pubrel_stand_first_in_the_packet(client: Any) -> None:
    assert 'self._in_packet["packet"]' in source(client._handle_pubrel)
    assert client._in_packet["packet"] == bytearray()


def test_paho_delivers_qos_2_only_at_pubrel(client: Any) -> None:
    handler = source(client._handle_publish)
    assert "self._send_pubrec(message.mid)" in handler
    assert "self._in_messages[message.mid] = message" in handler


def test_under_manual_ack_paho_leaves_qos_2_to_us(client: Any) -> None:
    client.manual_ack_set(True)
    sent: list[int] = []
    client._send_pubcomp = lambda mid: sent.append(mid) or MQTTErrorCode.MQTT_ERR_SUCCESS  # pyright: ignore[reportUnknownLambdaType,reportUnknownArgumentType] - untyped
    assert client.ack(7, 2) == 0
    assert sent == [7]


def test_a_missed_ping_has_the_code_that_is_looked_for() -> None:
    assert ReasonCode(PacketTypes.DISCONNECT, "Keep alive timeout").value == 141
    found = paho.convert_disconnect_error_code_to_reason_code(MQTTErrorCode.MQTT_ERR_KEEPALIVE)
    assert found.value == 141
