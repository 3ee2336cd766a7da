"""Properties of what actions see of a payload."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from mqtt_shared.event import content

SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text()
)
JSON = st.recursive(
    SCALARS, lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(), below, max_size=3)
)


@given(JSON, st.text(" \t\r\n", max_size=3))
def test_json_is_decoded_whatever_it_starts_with(value: Any, space: str) -> None:
    raw = space.encode() + msgspec.json.encode(value)
    assert content(raw) == (msgspec.json.decode(raw), None)


@given(st.binary())
def test_everything_else_is_text_or_base64(raw: bytes) -> None:
    payload, payload_base64 = content(raw)
    try:
        expected = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        expected = raw.decode(errors="surrogateescape")
        if payload_base64 is not None:
            assert payload is None
            assert msgspec.convert(payload_base64, bytes) == raw
            return
    assert (payload, payload_base64) == (expected, None)
