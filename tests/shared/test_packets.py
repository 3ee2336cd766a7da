"""Cutting and decoding what a broker sends, beside paho doing the same."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import paho.mqtt.client as paho
import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from mqtt_shared.packets import MalformedPacketError, Message, Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

NOW = datetime(2026, 1, 1, tzinfo=UTC)
Published = tuple[str, bytes, int, bool, bool, int]
PUBLISHED = st.tuples(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="+#\x00"), min_size=1, max_size=20),
    st.binary(max_size=300),
    st.integers(0, 2),
    st.booleans(),
    st.booleans(),
    st.integers(1, 65535),
)


def encoded(published: Published, *, version_5: bool) -> bytes:
    """The packet, by hand from MQTT 3.1.1 and 5, 3.3."""
    topic, payload, qos, retain, duplicate, mid = published
    name = topic.encode()
    body = len(name).to_bytes(2) + name + (mid.to_bytes(2) if qos else b"")
    if version_5:
        properties: Any = Properties(PacketTypes.PUBLISH)
        properties.UserProperty = ("a", topic)
        body += properties.pack()
    body += payload
    first = 0x30 | duplicate << 3 | qos << 1 | retain
    return bytes([first]) + _length(len(body)) + body


def _length(value: int) -> bytes:
    out = bytearray()
    while True:
        value, byte = divmod(value, 128)
        out.append(byte | (128 if value else 0))
        if not value:
            return bytes(out)


def pieces(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    places = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    return [data[a:b] for a, b in itertools.pairwise(places)]


def taken(parts: Iterable[bytes], *, version_5: bool) -> tuple[list[Message], list[bytes]]:
    messages, others = list[Message](), list[bytes]()
    stream = Stream(version_5=version_5)
    for part in parts:
        stream.feed(part)
        stream.take(messages.append, lambda _, packet: others.append(packet), NOW)
    return messages, others


def _accept(_mid: int) -> int:
    return 0


class _Noting(dict[int, Any]):
    """Where paho keeps QoS 2 until PUBREL."""

    def __init__(self, note: Callable[[Any], None]) -> None:
        super().__init__()
        self._note = note

    def __setitem__(self, _mid: int, message: Any) -> None:
        self._note(message)


def as_paho_reads(data: bytes, *, version_5: bool) -> list[Published]:
    protocol = paho.MQTTv5 if version_5 else paho.MQTTv311
    client: Any = paho.Client(CallbackAPIVersion.VERSION2, protocol=protocol)
    found = list[Published]()
    client.manual_ack_set(True)
    client._send_pubrec = _accept

    def note(message: Any) -> None:
        found.append((message.topic, message.payload, message.qos, message.retain, message.dup, message.mid))

    client._handle_on_message = note
    client._in_messages = _Noting(note)
    rest = bytearray(data)

    def receive(size: int) -> bytes:
        if not rest:
            raise BlockingIOError
        piece = bytes(rest[:size])
        del rest[:size]
        return piece

    client._sock_recv = receive
    client._sock = object()
    while rest:
        assert client._packet_read() == 0
    client._sock = None
    return found


@given(st.lists(PUBLISHED, max_size=6), st.lists(st.integers(0, 5000), max_size=8), st.booleans())
def test_as_paho_reads_it_however_it_is_cut(
    published: list[Published], cuts: list[int], version_5: bool
) -> None:
    data = b"".join(encoded(one, version_5=version_5) for one in published)
    messages, others = taken(pieces(data, cuts), version_5=version_5)
    found = [(m.topic, m.payload, m.qos, m.retain, m.duplicate, m.mid) for m in messages]
    assert found == as_paho_reads(data, version_5=version_5)
    assert found == [(*one[:5], one[5] if one[2] else 0) for one in published]
    assert others == []


@given(st.lists(st.integers(0, 5000), max_size=8))
def test_other_packets_are_handed_on_whole_and_in_their_place(cuts: list[int]) -> None:
    suback, pingresp = b"\x90\x03\x00\x01\x01", b"\xd0\x00"
    message = encoded(("a", b"x" * 200, 1, False, False, 7), version_5=False)
    messages, others = taken(pieces(suback + message + pingresp, cuts), version_5=False)
    assert (others, [m.mid for m in messages]) == ([suback, pingresp], [7])


@given(st.binary(max_size=200), st.booleans())
def test_no_bytes_break_it(data: bytes, version_5: bool) -> None:
    try:
        taken([data], version_5=version_5)
    except MalformedPacketError:
        return


@pytest.mark.parametrize(
    "data",
    [
        b"\x30\x01\x00",  # no room for the length of the topic
        b"\x30\x04\x00\x09ab",  # the topic ends behind the packet
        b"\x36\x05\x00\x01a\x00\x01",  # QoS 3
        b"\x32\x05\x00\x01a\x00\x00",  # packet id 0
        b"\x32\x03\x00\x01a",  # no packet id
        b"\x30\x04\x00\x02\xff\xfe",  # a topic that is not UTF-8
        b"\xd0\xff\xff\xff\xff\x01",  # a length of five bytes
    ],
)
def test_malformed_packets_are_refused(data: bytes) -> None:
    with pytest.raises(MalformedPacketError):
        taken([data], version_5=False)


def test_paused_between_two_packets_nothing_is_lost() -> None:
    stream, messages = Stream(version_5=False), list[Message]()

    def pause(message: Message) -> None:
        messages.append(message)
        stream.paused = True

    data = b"".join(encoded(("a", b"%d" % n, 0, False, False, 1), version_5=False) for n in range(5))
    stream.feed(data)
    for count in range(1, 6):
        stream.paused = False
        stream.take(pause, lambda _, packet: pytest.fail(repr(packet)), NOW)
        assert len(messages) == count
    assert [message.payload for message in messages] == [b"0", b"1", b"2", b"3", b"4"]
