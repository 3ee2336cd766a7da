"""The pure parts behind a write."""

from __future__ import annotations

import json
from itertools import combinations
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config_service.core import errors, legacy
from config_service.core.diff import diff
from config_service.core.numbers import settled
from config_service.core.overlaps import overlapping
from mqtt_shared import topics
from tests.support.servers import fetch_value

_LEVELS = st.lists(st.sampled_from(["a", "b", "+", ""]), min_size=1, max_size=4)
_LAST: st.SearchStrategy[list[str]] = st.sampled_from([[], ["#"]])
_FILTERS = st.tuples(_LEVELS, _LAST).map(lambda parts: "/".join([*parts[0], *parts[1]]))
_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(_FILTERS | st.just("#"), max_size=8))
def test_overlaps_are_those_of_comparing_each_with_each(filters: list[str]) -> None:
    named = [(str(index), topic) for index, topic in enumerate(filters)]
    expected = [(a, b) for (a, one), (b, other) in combinations(named, 2) if topics.overlap(one, other)]
    assert sorted(overlapping(named)) == sorted(expected)


@given(_JSON)
def test_settled_is_settled(value: Any) -> None:
    once = settled(value)
    assert msgspec.json.encode(settled(once)) == msgspec.json.encode(once)
    assert once == value or json.dumps(value) == json.dumps(value, allow_nan=False)


async def test_numbers_are_as_the_database_gives_them_back(database_url: str) -> None:
    """Digests are taken before the write and compared after it."""
    values = [0.0, -0.0, 1.0, 1.5, 1e15, 1e16, 1e22, 1.7976931348623157e308, 5e-324, 0.1 + 0.2, -2.5e-7]
    values += [float(2**n + 1) for n in range(50, 60)]
    text = msgspec.json.encode(values).decode()
    found = await fetch_value(database_url, "select $1::text::jsonb::text", text)
    assert msgspec.json.encode(msgspec.json.decode(found)) == msgspec.json.encode(settled(values))


def test_diff_names_subscriptions() -> None:
    before = {"broker": {"host": "a"}, "subscriptions": [{"id": 1, "name": "x", "enabled": True}]}
    after = {
        "broker": {"host": "a"},
        "subscriptions": [{"id": 1, "name": "y", "enabled": True}, {"id": 2, "name": "z"}],
    }
    found = [(change.path, change.before, change.after) for change in diff(before, after)]
    assert found == [
        (["subscriptions", "y", "name"], "x", "y"),
        (["subscriptions", "z"], None, {"id": 2, "name": "z"}),
    ]
    assert diff(None, None) == []
    assert [change.path for change in diff(None, {"broker": 1})] == [["broker"], ["subscriptions"]]


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"events": None},
        {"events": [1]},
        {"events": [{"name": "a", "actions": [{"type": "smtp_email", "email": {"to": 1}}]}]},
        {"configuration": {"shared_group_prefix": "$share/a+b/"}, "events": []},
        {"format": "mqtt-config/2", "broker": {"host": "a"}},
        {"format": "mqtt-config/1", "broker": {"host": "a"}, "subscriptions": [{"name": "a"}, {"name": "a"}]},
    ],
)
def test_bad_files(document: dict[str, Any]) -> None:
    with pytest.raises(errors.InvalidInputError) as refused:
        legacy.parse(document)
    assert refused.value.faults
    assert all(fault.loc[0] == "body" for fault in refused.value.faults)
