"""Templates: what goes in, what is refused, and that nobody can bring down who renders them."""

from __future__ import annotations

import contextlib
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqtt_shared.event import Event
from mqtt_shared.templates import TemplateError, faults, render, secret_names, values

EVENT = Event(
    product_id=7,
    instance_id="one",
    subscription="s",
    topic="a/b",
    payload={"device": {"id": "x", "tags": [1, {"a": None}]}, "n": 1.5, "on": True, "long": "a" * 100_000},
    payload_base64=None,
    qos=1,
    retain=False,
    received_at=datetime(2026, 1, 2, tzinfo=UTC),
    message_id="m",
    revision=3,
)
KNOWN = values(EVENT, {"site": "north"}, {"token": "made-up"})


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{ topic }} {{ revision }} {{ received_at }}", "a/b 3 2026-01-02T00:00:00Z"),
        ("{{ payload.device.id }}", "x"),
        ("{{ payload.device }}", '{"id":"x","tags":[1,{"a":null}]}'),
        ("{{ payload.device.id | json }} {{ payload.on }}", '"x" true'),
        ("{{ payload.n | times: 2 }}", "3.0"),
        ("{{ payload.device.tags | size }}", "2"),
        ("{{ payload.nobody | default: 'none' }}", "none"),
        ("{% if payload.nobody %}a{% else %}b{% endif %}", "b"),
        ("{% for tag in payload.device.tags %}{{ forloop.index }}{% endfor %}", "12"),
        ("{{ variables.site }} {{ secrets.token }}", "north made-up"),
        ("a\r\n{{ qos }}\r", "a\r\n1\r"),
        ("{% capture x %}a\r\n{% endcapture %}{{ x }}", "a\r\n"),
        ("no {template} { at } all", "no {template} { at } all"),
        ("{% raw %}{{ topic }}{% endraw %}", "{{ topic }}"),
    ],
)
def test_rendered(template: str, text: str) -> None:
    assert render(template, KNOWN) == text


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{{ payload.nobody }}", "payload.nobody is undefined"),
        ("{{ payload.nobody.below }}", "payload.nobody is undefined"),
        ("{{ secrets.nobody }}", "secrets.nobody is undefined"),
        ("{{ nobody }}", "'nobody' is undefined"),
        ("{{ payload.device.id.__class__ }}", "undefined"),
        ("{{ topic | nofilter }}", "unknown filter"),
        ("{{ topic", "expected"),
        ("{% include 'x' %}", "include"),
        ("{% render 'x' %}", "render"),
        ("{% for i in (1..100000) %}{% endfor %}", "loop"),
        ("{% for i in (1..1000) %}{% for j in (1..1000) %}{% endfor %}{% endfor %}", "loop"),
        ("{% for i in (1..20) %}{{ payload.long }}{% endfor %}", "output"),
        ("{{ (1..900000000) | join: '' }}", "items"),
        ("{{ payload.long | replace: 'a', payload.long }}", "characters"),
        ("{% assign x = payload.long | split: '' %}{{ x | join: payload.long }}", "items"),
        ("{% assign x = payload.long %}{% for i in (1..99) %}{% assign x = x | append: x %}{% endfor %}", ""),
        ("{{ payload.on | date: '%Y' | divided_by: 0 }}", ""),
    ],
)
def test_refused_soon_and_in_words(template: str, words: str) -> None:
    started = time.perf_counter()
    with pytest.raises(TemplateError, match=rf"body: .*{words}"):
        render({"body": template}, KNOWN)
    assert time.perf_counter() - started < 1


def test_every_string_of_a_config() -> None:
    config: dict[str, Any] = {"a": ["{{ topic }}", 1, None], "b": {"c": "{{ qos }}"}, "d": True}
    assert render(config, KNOWN) == {"a": ["a/b", 1, None], "b": {"c": "1"}, "d": True}
    with pytest.raises(TemplateError, match=r"^config\.b\.0: "):
        render({"b": ["{{ nobody }}"]}, KNOWN, "config")


def test_faults_and_secrets_are_found_without_rendering() -> None:
    config = {"a": ["{{ topic", "{{ secrets.one }}"], "b": '{% if secrets["two"] %}{{ qos }}{% endif %}'}
    assert [place for place, _ in faults(config)] == ["a.0"]
    assert secret_names(config) == {"one", "two"}


@given(st.text(), st.recursive(st.none() | st.text() | st.integers() | st.floats(), st.lists))
def test_any_text_renders_or_is_refused(template: str, payload: object) -> None:
    for text in (template, "{{ " + template + " }}", "{{ payload | " + template + " }}"):
        with contextlib.suppress(TemplateError):
            assert isinstance(render(text, {"payload": payload}), str)
