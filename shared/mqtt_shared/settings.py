"""Settings from the environment and from command-line options of the same name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeVar
from urllib.parse import urlsplit

import click
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from .subjects import Subjects

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from pydantic.fields import FieldInfo

__all__ = ["InvalidSettingsError", "NatsSettings", "Settings", "check_url", "load", "options"]


class InvalidSettingsError(Exception):
    """One line for each setting that is missing or wrong."""


class Settings(BaseSettings):
    """Base of every process's settings. A field's name in capitals is its environment variable."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", env_ignore_empty=True, hide_input_in_errors=True
    )

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least level to log."
    )
    log_format: Literal["console", "json"] = Field(default="console", description="How a log line looks.")


class NatsSettings(Settings):
    """Settings of a process that speaks NATS."""

    nats_url: str = Field(
        default="nats://127.0.0.1:4222", description="NATS servers, comma-separated; may hold credentials."
    )
    nats_root: str = Field(default="mqtt", description="First token of every NATS name.")

    @field_validator("nats_url")
    @classmethod
    def _nats_url_is_a_list_of_urls(cls, value: str) -> str:
        for url in value.split(","):
            check_url(url.strip(), ("nats", "tls", "ws", "wss"))
        return value

    @field_validator("nats_root")
    @classmethod
    def _nats_root_is_a_token(cls, value: str) -> str:
        return Subjects(value).root

    @property
    def subjects(self) -> Subjects:
        """The NATS names under `nats_root`."""
        return Subjects(self.nats_root)


def check_url(url: str, schemes: Collection[str], *, host: bool = True) -> None:
    """Has the URL one of the schemes, a host where one is needed, and a port that is one?

    Raises:
        ValueError: no; the text tells what to change.
    """
    try:
        parts = urlsplit(url)
        fits = parts.scheme in schemes and (bool(parts.hostname) or not host) and parts.port != 0
    except ValueError:
        fits = False
    if not fits or any(char.isspace() for char in url):
        raise ValueError(f"must be a URL such as {next(iter(schemes))}://host:port")


S = TypeVar("S", bound=Settings)
F = TypeVar("F", bound="Callable[..., Any]")


def load(kind: type[S], given: Mapping[str, Any] | None = None) -> S:
    """Settings from `given` (command-line options), then the environment, then the defaults.

    Raises:
        InvalidSettingsError: names every setting that is missing or wrong.
    """
    chosen = {name: value for name, value in (given or {}).items() if value is not None}
    try:
        return kind(**chosen)
    except ValidationError as error:
        lines = [f"{_name(fault['loc'])}: {_sentence(fault)}" for fault in error.errors()]
        raise InvalidSettingsError("\n".join(lines)) from None


def _name(loc: tuple[int | str, ...]) -> str:
    return str(loc[0]).upper() if loc else "settings"


def _sentence(fault: Any) -> str:
    if fault["type"] == "missing":
        return "is required"
    return str(fault["msg"]).removeprefix("Value error, ")


def options(kind: type[Settings]) -> Callable[[F], F]:
    """A decorator that gives a click command one option for each setting, for `load` to read."""

    def decorate(command: F) -> F:
        for name, field in reversed(kind.model_fields.items()):
            command = _option(name, field)(command)
        return command

    return decorate


def _option(name: str, field: FieldInfo) -> Callable[[F], F]:
    # Defaults and the environment are read by `load`: only then can all faults be told at once.
    default = "required" if field.is_required() else f"default: {_shown(field.default)}"
    text = f"{field.description or ''}  [{name.upper()}; {default}]"
    return click.option(f"--{name.replace('_', '-')}", name, default=None, metavar="VALUE", help=text)


def _shown(default: object) -> str:
    if default is None or default == "":
        return "none"
    return "***" if isinstance(default, SecretStr) else str(default)
