"""The tree finds what comparing each filter with each finds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mqtt_shared.covering import widest
from mqtt_shared.topics import covers

LEVELS = st.lists(st.sampled_from(["a", "b", "", "+", "$s"]), min_size=1, max_size=4)
FILTERS = st.one_of(LEVELS.map("/".join), LEVELS.map(lambda levels: "/".join((*levels, "#"))), st.just("#"))


@given(st.lists(FILTERS, max_size=12))
def test_as_comparing_each_with_each(filters: list[str]) -> None:
    expected = {each for each in filters if not any(o != each and covers(o, each) for o in filters)}
    assert widest(filters) == expected
