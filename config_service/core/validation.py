"""From the bytes of a body to a struct, with every fault at once and each named by its place.

msgspec by itself stops at the first fault, takes the last of two equal keys, and lets NUL characters, lone
surrogates and integers of any size through, none of which the database can hold.
"""

from __future__ import annotations

import functools
import json
import math
import re
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, cast

import msgspec
from msgspec import inspect

from mqtt_shared import topics

from . import actions, certificates, rules
from .errors import Fault, InvalidInputError
from .model import MASK

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["MAX_BYTES", "MAX_DEPTH", "MAX_FAULTS", "MalformedJsonError", "convert", "faults", "parse", "read"]

MAX_BYTES = 1_000_000
MAX_DEPTH = 32
MAX_FAULTS = 100
"""More are not told: who sends that many has one fault, not hundreds."""

T = TypeVar("T")
Loc = tuple[str | int, ...]
_BODY: Loc = ("body",)
_INT64 = range(-(2**63), 2**63)
_LONGEST_NUMBER = 400
_SURROGATE = re.compile("[\ud800-\udfff]")


class MalformedJsonError(ValueError):
    """The body is not JSON (RFC 8259) in UTF-8; the text says where."""


class _Faults:
    """Faults in order of their place in the body, one for each place."""

    def __init__(self) -> None:
        self._by_loc = dict[Loc, Fault]()

    def add(self, loc: Loc, msg: str, kind: str) -> None:
        if not self.full:
            self._by_loc.setdefault(loc, Fault(loc=list(loc), msg=msg, type=kind))

    @property
    def full(self) -> bool:
        return len(self._by_loc) >= MAX_FAULTS

    @property
    def all(self) -> list[Fault]:
        return list(self._by_loc.values())


def read(raw: bytes, kind: type[T]) -> T:
    """The body as a `kind`.

    Raises:
        MalformedJsonError: not JSON.
        InvalidInputError: every fault, with `loc` beginning at `"body"`.
    """
    value, found = _load(raw)
    _check(value, _type_of(kind), _BODY, found)
    return _made(value, kind, found)


def convert(value: object, kind: type[T]) -> T:
    """A value from `parse` as a `kind`.

    Raises:
        InvalidInputError: every fault.
    """
    found = _Faults()
    _check(value, _type_of(kind), _BODY, found)
    return _made(value, kind, found)


def faults(value: object, kind: Any, loc: Loc = _BODY) -> list[Fault]:
    """Everything that keeps `value` from being a `kind`; at most `MAX_FAULTS`."""
    found = _Faults()
    _check(value, _type_of(kind), loc, found)
    return found.all


def _made(value: object, kind: type[T], found: _Faults) -> T:
    if found.all:
        raise InvalidInputError(found.all)
    try:
        return msgspec.convert(value, kind)
    except (msgspec.ValidationError, OverflowError) as error:
        raise InvalidInputError([Fault(loc=list(_BODY), msg=str(error), type="invalid")]) from error


# --- JSON


def parse(raw: bytes) -> Any:
    """The JSON value in `raw`, free of what no part of the system can hold.

    Raises:
        MalformedJsonError: not JSON in UTF-8; says the line and column.
        InvalidInputError: a key twice, a NUL character, half a surrogate pair, a number that does not fit in
            64 bits, or more than `MAX_DEPTH` levels.
    """
    value, found = _load(raw)
    if found.all:
        raise InvalidInputError(found.all)
    return value


def _load(raw: bytes) -> tuple[Any, _Faults]:
    twice, found = _Twice(), _Faults()
    try:
        value = json.loads(
            raw.decode(), object_pairs_hook=twice.hook, parse_constant=_no_constant, parse_int=_integer
        )
    except UnicodeDecodeError as error:
        raise MalformedJsonError(f"byte {error.start} is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise MalformedJsonError(f"{error.msg}: line {error.lineno} column {error.colno}") from None
    except RecursionError:
        raise InvalidInputError([_too_deep(_BODY)]) from None
    _sweep(value, _BODY, twice, found)
    return value, found


class _Twice:
    """Remembers the keys that stood twice in an object."""

    def __init__(self) -> None:
        # The objects are kept, so that no other one can get the same id.
        self._objects = dict[int, tuple[dict[str, Any], list[str]]]()

    def hook(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) < len(pairs):
            counts = Counter(key for key, _ in pairs)
            self._objects[id(made)] = (made, [key for key, count in counts.items() if count > 1])
        return made

    def of(self, value: dict[str, Any]) -> list[str]:
        return self._objects[id(value)][1] if id(value) in self._objects else []


def _no_constant(name: str) -> None:
    raise MalformedJsonError(f"{name} is not JSON: use null or a number")


def _integer(digits: str) -> int | float:
    # Python refuses to read integers of thousands of digits; as a float it is out of range all the same.
    return int(digits) if len(digits) < _LONGEST_NUMBER else math.inf


def _too_deep(loc: Loc) -> Fault:
    return Fault(loc=list(loc), msg=f"must not be nested deeper than {MAX_DEPTH} levels", type="too_deep")


def _sweep(value: object, loc: Loc, twice: _Twice, found: _Faults) -> None:
    if found.full:
        return
    if isinstance(value, str):
        _sweep_text(value, loc, found)
    elif isinstance(value, dict | list):
        _sweep_inside(cast("dict[str, Any] | list[Any]", value), loc, twice, found)
    elif _is_number(value) and not _fits(cast("float", value)):
        found.add(loc, "must be a number that fits in 64 bits", "number_too_large")


def _sweep_inside(value: dict[str, Any] | list[Any], loc: Loc, twice: _Twice, found: _Faults) -> None:
    if len(loc) > MAX_DEPTH:
        fault = _too_deep(loc)
        found.add(loc, fault.msg, fault.type)
        return
    if isinstance(value, dict):
        for key in twice.of(value):
            found.add((*loc, shown(key)), "must appear only once in its object", "duplicate_key")
        for key, item in value.items():
            _sweep_text(key, (*loc, shown(key)), found)
            _sweep(item, (*loc, shown(key)), twice, found)
    else:
        for index, item in enumerate(value):
            _sweep(item, (*loc, index), twice, found)


def _sweep_text(text: str, loc: Loc, found: _Faults) -> None:
    if text.isascii() and "\x00" not in text:
        return
    if "\x00" in text:
        found.add(loc, "must not contain a NUL character (\\u0000)", "nul_character")
    elif _SURROGATE.search(text):
        found.add(loc, "must not contain half a surrogate pair (\\ud800 to \\udfff)", "surrogate")


def shown(key: str) -> str:
    """A key as it can be named in an answer: short, and valid Unicode."""
    return _SURROGATE.sub("\ufffd", key[:100])


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _fits(value: float) -> bool:
    return value in _INT64 if isinstance(value, int) else math.isfinite(value)


# --- Types


@functools.cache
def _type_of(kind: Any) -> inspect.Type:
    return inspect.type_info(kind)


@functools.cache
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text)


def _check(value: object, kind: inspect.Type, loc: Loc, found: _Faults) -> None:
    if found.full:
        return
    if isinstance(kind, inspect.Metadata):
        _check(value, kind.type, loc, found)
        _check_extra(value, cast("dict[str, Any]", kind.extra or {}), loc, found)  # pyright: ignore[reportUnknownMemberType] - a bare dict in msgspec
        return
    if isinstance(kind, inspect.UnionType):
        _check_union(value, kind, loc, found)
        return
    for described, check in _CHECKS.items():
        if isinstance(kind, described):
            check(value, kind, loc, found)
            return


def _check_extra(value: object, extra: dict[str, Any], loc: Loc, found: _Faults) -> None:
    if isinstance(value, str) and value:
        for msg in _MEANT_AS.get(str(extra.get("check")), _no_faults)(value):
            found.add(loc, msg, str(extra["check"]))
    if extra.get("check") == "action" and isinstance(value, dict):
        for inner, msg, kind in actions.faults(cast("dict[str, Any]", value)):
            found.add((*loc, *inner), msg, kind)
        for name, config in _known_config(cast("dict[str, Any]", value)):
            _check(config, _type_of(name), (*loc, "config"), found)
    if extra.get("check") == "topics" and isinstance(value, dict):
        given = cast("dict[str, Any]", value)
        if given.get("use_shared") is True and given.get("shared_group", "") is None:
            found.add((*loc, "shared_group"), rules.NO_GROUP, "missing")


def _no_faults(_: str) -> list[str]:
    return []


def _host_faults(text: str) -> list[str]:
    return [msg] if (msg := rules.host_fault(text)) else []


def _secret_faults(text: str) -> list[str]:
    return [f"must not be {MASK}, which stands for a value that is not shown"] if text == MASK else []


# What a text means beyond its length; here, so that it is told with all other faults.
_MEANT_AS: dict[str, Callable[[str], list[str]]] = {
    "host": _host_faults,
    "topic": topics.faults,
    "certificates": certificates.certificate_faults,
    "private_key": certificates.key_faults,
    "secret": _secret_faults,
}


def _known_config(action: dict[str, Any]) -> list[tuple[type, object]]:
    kind = action.get("type")
    known = actions.KNOWN.get(kind) if isinstance(kind, str) else None
    return [(known, action.get("config", {}))] if known else []


def _check_union(value: object, kind: inspect.UnionType, loc: Loc, found: _Faults) -> None:
    if value is None and kind.includes_none:
        return
    real = [inner for inner in kind.types if not isinstance(inner, inspect.NoneType)]
    if len(real) > 1:
        real = [inner for inner in real if isinstance(value, _UNITED[type(_plain(inner))])]
    if real:
        _check(value, real[0], loc, found)
    else:
        _wrong(value, "a string or an array", loc, found)


# The types that stand in unions with each other; all others do with null only.
_UNITED: dict[type, type] = {inspect.StrType: str, inspect.ListType: list}


def _plain(kind: inspect.Type) -> inspect.Type:
    return kind.type if isinstance(kind, inspect.Metadata) else kind


def _wrong(value: object, wanted: str, loc: Loc, found: _Faults) -> None:
    if value is None:
        found.add(loc, f"must not be null: it must be {wanted}", "null_not_allowed")
    else:
        found.add(loc, f"must be {wanted}, not {_NAMES.get(type(value), 'this')}", "wrong_type")


_NAMES: dict[type, str] = {
    bool: "a boolean",
    int: "an integer",
    float: "a number with a decimal point",
    str: "a string",
    list: "an array",
    dict: "an object",
}


def _check_struct(value: object, kind: inspect.StructType, loc: Loc, found: _Faults) -> None:
    if not isinstance(value, dict):
        _wrong(value, "an object", loc, found)
        return
    given = cast("dict[str, Any]", value)
    for field in kind.fields:
        name = field.encode_name
        if name in given:
            _check(given[name], field.type, (*loc, name), found)
        elif field.required:
            found.add((*loc, name), "is required", "missing")
    if kind.forbid_unknown_fields:
        _check_names(given, [field.encode_name for field in kind.fields], loc, found)


def _check_names(given: dict[str, Any], known: list[str], loc: Loc, found: _Faults) -> None:
    for name in given:
        if name not in known:
            listed = ", ".join(known) or "none"
            found.add((*loc, shown(name)), f"is not a known field; known are: {listed}", "unknown_field")


def _check_text(value: object, kind: inspect.StrType, loc: Loc, found: _Faults) -> None:
    if not isinstance(value, str):
        _wrong(value, "a string", loc, found)
    elif kind.min_length and len(value) < kind.min_length:
        found.add(loc, _too_short(kind.min_length), "too_short")
    elif kind.max_length is not None and len(value) > kind.max_length:
        found.add(loc, f"must have at most {kind.max_length} characters, not {len(value)}", "too_long")
    # `$` alone would let a line feed through at the end.
    elif kind.pattern and not _pattern(kind.pattern).fullmatch(value):
        found.add(loc, _PATTERNS.get(kind.pattern, f"must match {kind.pattern}"), "pattern")


def _too_short(least: int) -> str:
    return "must not be empty" if least == 1 else f"must have at least {least} characters"


_PATTERNS = {
    r"^[^\x00]*$": "must not contain a NUL character",
    r"^[a-z][a-z0-9_]{0,99}$": "must have 1 to 100 of a-z, 0-9 and _, and begin with a letter",
    r"^[A-Za-z_][A-Za-z0-9_]{0,99}$": "must have 1 to 100 letters, digits and _, and not begin with a digit",
    r"^/[^\x00-\x20\x7f#]*$": "must begin with / and have no spaces, control characters or #",
    r"^[^/+#\x00]+$": "must not contain /, + or #",
    r"^[A-Za-z0-9_-]{1,100}$": "must have 1 to 100 letters, digits, - and _",
    **actions.PATTERNS,
}


def _check_integer(value: object, kind: inspect.IntType, loc: Loc, found: _Faults) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        _wrong(value, "an integer", loc, found)
    else:
        _check_bounds(value, kind, loc, found)


def _check_number(value: object, kind: inspect.FloatType, loc: Loc, found: _Faults) -> None:
    if not _is_number(value):
        _wrong(value, "a number", loc, found)
    else:
        _check_bounds(cast("float", value), kind, loc, found)


def _check_bounds(value: float, kind: inspect.IntType | inspect.FloatType, loc: Loc, found: _Faults) -> None:
    if kind.ge is not None and value < kind.ge:
        found.add(loc, f"must be at least {kind.ge}", "too_small")
    elif kind.gt is not None and value <= kind.gt:
        found.add(loc, f"must be more than {kind.gt}", "too_small")
    elif kind.le is not None and value > kind.le:
        found.add(loc, f"must be at most {kind.le}", "too_large")


def _check_boolean(value: object, _: inspect.BoolType, loc: Loc, found: _Faults) -> None:
    if not isinstance(value, bool):
        _wrong(value, "true or false", loc, found)


def _check_literal(value: object, kind: inspect.LiteralType, loc: Loc, found: _Faults) -> None:
    if value not in kind.values or isinstance(value, bool):
        listed = ", ".join(sorted(str(choice) for choice in kind.values))
        found.add(loc, f"must be one of: {listed}", "not_one_of")


def _check_time(value: object, _: inspect.DateTimeType, loc: Loc, found: _Faults) -> None:
    try:
        assert isinstance(value, str)
        # A time zone can carry the first and the last day out of the calendar.
        msgspec.convert(value, _AwareTime).astimezone(UTC)
    except (AssertionError, msgspec.ValidationError, OverflowError):
        found.add(loc, "must be an RFC 3339 time with its zone, such as 2026-01-31T08:00:00Z", "invalid_time")


_AwareTime = cast("type[datetime]", Annotated[datetime, msgspec.Meta(tz=True)])


def _check_list(value: object, kind: inspect.ListType, loc: Loc, found: _Faults) -> None:
    if not isinstance(value, list):
        _wrong(value, "an array", loc, found)
        return
    items = cast("list[Any]", value)
    if len(items) < (kind.min_length or 0):
        found.add(loc, "must not be empty", "too_short")
    if kind.max_length is not None and len(items) > kind.max_length:
        found.add(loc, f"must have at most {kind.max_length} elements, not {len(items)}", "too_long")
        return
    for index, item in enumerate(items):
        _check(item, kind.item_type, (*loc, index), found)


def _check_dict(value: object, kind: inspect.DictType, loc: Loc, found: _Faults) -> None:
    if not isinstance(value, dict):
        _wrong(value, "an object", loc, found)
        return
    for key, item in cast("dict[str, Any]", value).items():
        inside = (*loc, shown(key))
        _check(key, kind.key_type, inside, found)
        _check(item, kind.value_type, inside, found)


_CHECKS: dict[type, Callable[[object, Any, Loc, _Faults], None]] = {
    inspect.StructType: _check_struct,
    inspect.StrType: _check_text,
    inspect.IntType: _check_integer,
    inspect.FloatType: _check_number,
    inspect.BoolType: _check_boolean,
    inspect.LiteralType: _check_literal,
    inspect.DateTimeType: _check_time,
    inspect.ListType: _check_list,
    inspect.DictType: _check_dict,
}
