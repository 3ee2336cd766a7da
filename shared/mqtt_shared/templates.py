"""Texts in the settings of actions, with values of the event in them.

The language is Liquid (https://shopify.github.io/liquid). A template cannot run code, read files or include
other templates, and its loops and its output are bounded: who may write one may not thereby take down whoever
renders it. No I/O.
"""

from __future__ import annotations

from collections.abc import Mapping, Sized
from decimal import Decimal
from functools import lru_cache, wraps
from typing import TYPE_CHECKING, Any, TextIO, cast

import liquid
import msgspec
from liquid.builtin.output import Output, OutputNode
from liquid.exceptions import LiquidError
from liquid.output import LimitedStringIO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from io import StringIO

    from liquid import BoundTemplate, RenderContext

    from .event import Event

__all__ = ["MAX_BYTES", "TemplateError", "faults", "is_template", "render", "secret_names", "values"]

MAX_BYTES = 1024 * 1024
"""Most bytes that one template may make."""
_MOST_ITEMS = _MOST_LOOPS = 10_000
_MOST_COMPILED = 4096
_NO_TAGS = ("include", "render", "echo", "liquid", "doc")


class TemplateError(ValueError):
    """A template is not valid, names a value that is not there, or makes too much; the text says where."""


def values(event: Event, variables: Mapping[str, str], secrets: Mapping[str, str]) -> dict[str, Any]:
    """What templates can name: the fields of the event, `variables.<name>` and `secrets.<name>`."""
    return msgspec.to_builtins(event) | {"variables": dict(variables), "secrets": dict(secrets)}


def render(value: Any, known: Mapping[str, Any], path: str = "") -> Any:
    """A copy of a JSON value with every string in it rendered.

    Strings go in as they are, other values as JSON.

    Raises:
        TemplateError: names the place below `path`.
    """
    if isinstance(value, str):
        return _render(value, known, path) if is_template(value) else value
    if isinstance(value, dict):
        return {k: render(v, known, _below(path, k)) for k, v in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [render(v, known, _below(path, i)) for i, v in enumerate(cast("list[Any]", value))]
    return value


def is_template(text: str) -> bool:
    """Is there anything to render in it?"""
    return "{{" in text or "{%" in text


def faults(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Each string in a JSON value that is no valid template: its place and what is wrong."""
    for place, text in _templates(value, path):
        try:
            _compiled(text)
        except LiquidError as error:
            yield place, _words(error)


def secret_names(value: Any) -> set[str]:
    """The secrets that the templates in a JSON value name. Templates that are not valid name none."""
    found = set[str]()
    for _, text in _templates(value, ""):
        if "secrets" in text:
            found |= _secrets_in(text)
    return found


@lru_cache(_MOST_COMPILED)
def _secrets_in(text: str) -> frozenset[str]:
    try:
        named = _compiled(text).analyze().globals.get("secrets", ())
    except LiquidError:
        return frozenset()
    return frozenset(str(name) for each in named for name in each.segments[1:2] if isinstance(name, str))


def _templates(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        if is_template(value):
            yield path, value
    elif isinstance(value, dict):
        for key, below in cast("dict[str, Any]", value).items():
            yield from _templates(below, _below(path, key))
    elif isinstance(value, list):
        for index, below in enumerate(cast("list[Any]", value)):
            yield from _templates(below, _below(path, index))


def _below(path: str, name: str | int) -> str:
    return f"{path}.{name}" if path else str(name)


def _render(text: str, known: Mapping[str, Any], path: str) -> str:
    try:
        template = _compiled(text)
        buffer = _buffer()
        template.render_with_context(_Context(template, globals=known), buffer)
        return buffer.getvalue()
    except LiquidError as error:
        raise TemplateError(_at(path, _words(error))) from None
    except Exception as error:
        # A filter that was given what it does not understand; whatever it is, it is the template's fault.
        raise TemplateError(_at(path, f"{type(error).__name__}: {error}")) from None


def _at(path: str, text: str) -> str:
    return f"{path}: {text}" if path else text


def _words(error: LiquidError) -> str:
    return str(error.message or type(error).__name__)


@lru_cache(_MOST_COMPILED)
def _compiled(text: str) -> BoundTemplate:
    return _ENVIRONMENT.from_string(text)


def _buffer(used: int = 0) -> LimitedStringIO:
    # Without `newline` it would turn every line break into a line feed.
    return LimitedStringIO(MAX_BYTES - used, newline="\n")


class _Context(liquid.RenderContext):
    def get_buffer(self, buf: TextIO | None = None) -> StringIO:
        return _buffer(buf.size if isinstance(buf, LimitedStringIO) else 0)


class _Environment(liquid.Environment):
    output_stream_limit = local_namespace_limit = MAX_BYTES
    loop_iteration_limit = _MOST_LOOPS


class _JsonNode(OutputNode):
    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        return buffer.write(_text(self.expression.evaluate(context)))


class _JsonOutput(Output):
    node_class = _JsonNode


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, liquid.Undefined):
        return str(value)  # raises
    return _json(value)


def _json(value: object) -> str:
    if isinstance(value, Decimal | range):
        return str(value)
    return msgspec.json.encode(value).decode()


def _check(value: object) -> object:
    if isinstance(value, str):
        _refuse_beyond(MAX_BYTES, len(value), "characters")
    elif isinstance(value, Sized) and not isinstance(value, liquid.Undefined):
        _refuse_beyond(_MOST_ITEMS, len(value), "items")
    return value


def _refuse_beyond(most: int, found: int, what: str) -> None:
    if found > most:
        raise TemplateError(f"makes more than {most} {what}")


def _size_of_replacing(text: object, old: object = "", new: object = "", *_: object) -> int:
    text = str(text)
    return len(text) + text.count(str(old)) * len(str(new))


def _size_of_joining(items: object, between: object = " ", *_: object) -> int:
    if not isinstance(items, list | tuple):
        return 0
    many = cast("list[object]", items)
    return sum(len(item) if isinstance(item, str) else 24 for item in many) + len(many) * len(str(between))


_SIZES: dict[str, Callable[..., int]] = {"replace": _size_of_replacing, "join": _size_of_joining}
"""Filters whose result can be as large as the product of what they are given."""


def _bounded(name: str, apply: Callable[..., object]) -> Callable[..., object]:
    @wraps(apply)
    def guarded(*given: Any, **named: Any) -> object:
        for value in (*given, *named.values()):
            if not isinstance(value, liquid.RenderContext | liquid.Environment):
                _check(value)
        if size := _SIZES.get(name):
            _refuse_beyond(MAX_BYTES, size(*given), "characters")
        return _check(apply(*given, **named))

    return guarded


def _environment() -> liquid.Environment:
    # Comparing with what is not there is false and `default` takes its place; everything else is an error.
    made = _Environment(undefined=liquid.FalsyStrictUndefined, strict_filters=True)
    for tag in _NO_TAGS:
        made.tags.pop(tag, None)
    made.add_tag(_JsonOutput)
    for name, apply in list(made.filters.items()):
        made.add_filter(name, _bounded(name, apply))
    made.add_filter("json", _json)
    return made


_ENVIRONMENT = _environment()
