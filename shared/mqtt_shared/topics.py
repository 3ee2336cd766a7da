"""MQTT topic filters: variables, validity, shared groups, matching (MQTT 3.1.1 and 5, sections 4.7, 4.8)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = [
    "MAX_BYTES",
    "InvalidTopicError",
    "UnknownVariableError",
    "covers",
    "derive",
    "faults",
    "fill",
    "is_shared",
    "matches",
    "overlap",
    "shared",
    "substitute",
    "variables",
]

MAX_BYTES = 65_535
"""MQTT 1.5.3: a string's length is two bytes."""

_VARIABLE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


class InvalidTopicError(ValueError):
    """The filter breaks a rule of MQTT; the text says which."""


class UnknownVariableError(InvalidTopicError):
    """The topic names a variable that nobody defines."""

    def __init__(self, names: list[str]) -> None:
        super().__init__("no value for " + ", ".join(f"{{{name}}}" for name in names))
        self.names = names


def variables(template: str) -> list[str]:
    """The names in braces, in order of appearance, each once."""
    return list(dict.fromkeys(_VARIABLE.findall(template))) if "{" in template else []


def substitute(template: str, values: Mapping[str, str]) -> str:
    """Put the values in place of `{name}`.

    Raises:
        UnknownVariableError: names every variable that has no value.
    """
    names = variables(template)
    if missing := [name for name in names if name not in values]:
        raise UnknownVariableError(missing)
    return _VARIABLE.sub(lambda match: values[match[1]], template) if names else template


def fill(template: str, values: Mapping[str, str]) -> str:
    """As `substitute`, but a variable without a value stays, in its braces."""
    return _VARIABLE.sub(lambda match: values.get(match[1], match[0]), template)


def derive(prefix: str, pattern: str, name: str) -> str:
    """The topic of a subscription that has none of its own: `{prefix}/{pattern}/{name with - for _}`."""
    return f"{prefix}/{pattern}/{name.replace('_', '-')}"


def shared(topic: str, group: str | None) -> str:
    """The filter of a shared subscription (MQTT 5, 4.8.2); a leading `/` of the topic stays."""
    return f"$share/{group}/{topic}" if group else topic


def is_shared(topic_filter: str) -> bool:
    """Does the broker deal the messages of this filter to the members of a group?"""
    return topic_filter.startswith("$share/")


def faults(template: str) -> list[str]:
    """What is wrong with a topic filter that may contain variables; empty when it is well formed."""
    return list(_faults(template))


def _faults(template: str) -> Iterator[str]:
    if not template:
        yield "must not be empty"
    if "\x00" in template:
        yield "must not contain a NUL character"
    try:
        size = len(template.encode())
    except UnicodeEncodeError:
        yield "must be valid Unicode"
    else:
        if size > MAX_BYTES:
            yield f"must not be longer than {MAX_BYTES} bytes of UTF-8"
    if ("{" in template or "}" in template) and _braces_left(template):
        yield "has a brace that belongs to no {variable}; a name has letters, digits and _"
    if "#" in template or "+" in template:
        yield from _wildcard_faults(template.split("/"))


def _braces_left(template: str) -> bool:
    rest = _VARIABLE.sub("", template)
    return "{" in rest or "}" in rest


def _wildcard_faults(levels: list[str]) -> Iterator[str]:
    if any("#" in level and level != "#" for level in levels):
        yield "must have '#' alone in its level"
    if "#" in levels[:-1]:
        yield "must have '#' as its last level only"
    if any("+" in level and level != "+" for level in levels):
        yield "must have '+' alone in its level"


def matches(topic_filter: str, topic: str) -> bool:
    """Does a message on `topic` belong to the filter? A `$` topic matches no leading wildcard (4.7.2)."""
    wanted, levels = topic_filter.split("/"), topic.split("/")
    if topic.startswith("$") and wanted[0] in ("+", "#"):
        return False
    for index, level in enumerate(wanted):
        if level == "#":
            return True
        if index >= len(levels) or level not in ("+", levels[index]):
            return False
    return len(wanted) == len(levels)


def covers(wide: str, narrow: str) -> bool:
    """Does `wide` match every topic that `narrow` matches? A filter covers itself."""
    left, right = wide.split("/"), narrow.split("/")
    if left[0] in ("+", "#") and right[0].startswith("$"):
        return False
    for index, level in enumerate(left):
        if level == "#":
            return True
        if index >= len(right) or right[index] == "#" or level not in ("+", right[index]):
            return False
    return len(left) == len(right)


def overlap(one: str, other: str) -> bool:
    """Is there a topic that both filters match?"""
    left, right = one.split("/"), other.split("/")
    for a, b in zip(left, right, strict=False):
        if "#" in (a, b):
            return True
        if a != b and "+" not in (a, b):
            return False
    longer = left[len(right) :] or right[len(left) :]
    # `a/#` also matches `a` (4.7.1.2).
    return not longer or longer == ["#"]
