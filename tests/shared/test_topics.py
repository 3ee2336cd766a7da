"""Topic filters: variables, validity, matching, covering, overlapping."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqtt_shared import topics

LEVEL = st.sampled_from(["", "a", "b", "$SYS"])
TOPICS = st.lists(LEVEL, min_size=1, max_size=4).map("/".join).filter(bool)


@st.composite
def filters(draw: st.DrawFn) -> str:
    levels = draw(st.lists(st.one_of(LEVEL, st.just("+")), max_size=3))
    last = draw(st.sampled_from(["#", "+", "a", "b"]))
    return "/".join([*levels, last])


@pytest.mark.parametrize(
    ("topic_filter", "topic", "expected"),
    [
        # The examples of MQTT 3.1.1, 4.7.1 and 4.7.2.
        ("sport/tennis/player1/#", "sport/tennis/player1", True),
        ("sport/tennis/player1/#", "sport/tennis/player1/ranking", True),
        ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", True),
        ("sport/tennis/+", "sport/tennis/player1", True),
        ("sport/tennis/+", "sport/tennis/player1/ranking", False),
        ("sport/+", "sport", False),
        ("sport/+", "sport/", True),
        ("+/+", "/finance", True),
        ("/+", "/finance", True),
        ("+", "/finance", False),
        ("#", "$SYS/monitor/Clients", False),
        ("+/monitor/Clients", "$SYS/monitor/Clients", False),
        ("$SYS/#", "$SYS/monitor/Clients", True),
        ("$SYS/monitor/+", "$SYS/monitor/Clients", True),
    ],
)
def test_matching_as_the_standard_says(topic_filter: str, topic: str, expected: bool) -> None:
    assert topics.matches(topic_filter, topic) is expected


@given(filters(), filters(), TOPICS)
def test_filters_that_match_one_topic_overlap(one: str, other: str, topic: str) -> None:
    if topics.matches(one, topic) and topics.matches(other, topic):
        assert topics.overlap(one, other)
        assert topics.overlap(other, one)


@given(filters(), filters(), TOPICS)
def test_a_covering_filter_matches_whatever_the_covered_one_does(wide: str, narrow: str, topic: str) -> None:
    if topics.covers(wide, narrow) and topics.matches(narrow, topic):
        assert topics.matches(wide, topic)


@given(filters())
def test_a_filter_covers_itself(one: str) -> None:
    assert topics.covers(one, one)


@pytest.mark.parametrize(
    ("wide", "narrow", "expected"),
    [
        ("a/#", "a/+", True),
        ("a/#", "a", True),
        ("a/+", "a/#", False),
        ("+/b", "a/+", False),
        ("#", "$SYS/#", False),
        ("+/+", "a/b", True),
    ],
)
def test_covering(wide: str, narrow: str, expected: bool) -> None:
    assert topics.covers(wide, narrow) is expected


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("", "empty"),
        ("a\x00b", "NUL"),
        ("a/\ud800", "Unicode"),
        ("é" * 40_000, "65535 bytes"),
        ("a/#/b", "last level"),
        ("a#", "'#' alone"),
        ("a+/b", "'+' alone"),
        ("a/{b", "brace"),
        ("a/{}", "brace"),
        ("a/{b-c}", "brace"),
    ],
)
def test_each_fault_is_told(template: str, words: str) -> None:
    assert any(words in fault for fault in topics.faults(template))


@pytest.mark.parametrize("template", ["a", "/", "+", "#", "a/{b}/#", "ä/ß", "a//b", "$SYS/#"])
def test_well_formed(template: str) -> None:
    assert topics.faults(template) == []


@given(st.dictionaries(st.sampled_from("abc"), st.text(max_size=5)))
def test_values_are_put_in_once_or_missed_by_name(values: dict[str, str]) -> None:
    template = "{a}/x/{b}/{a}"
    missing = [name for name in "ab" if name not in values]
    if missing:
        with pytest.raises(topics.UnknownVariableError) as caught:
            topics.substitute(template, values)
        assert caught.value.names == missing
    else:
        assert topics.substitute(template, values) == f"{values['a']}/x/{values['b']}/{values['a']}"


def test_a_leading_slash_stays_in_a_shared_filter() -> None:
    assert topics.shared("/v3/a", "bre") == "$share/bre//v3/a"
    assert topics.shared("/v3/a", None) == "/v3/a"
    assert topics.derive("/v3", "app", "order_created") == "/v3/app/order-created"
