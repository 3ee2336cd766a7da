"""The command `config-service`."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click
import structlog

from mqtt_shared import logs
from mqtt_shared.sealing import InvalidKeyError
from mqtt_shared.settings import InvalidSettingsError, Settings, load, options

from .app import openapi_json, serve
from .metrics import package_version
from .migration import SchemaError, upgrade
from .settings import DatabaseSettings, ServeSettings

if TYPE_CHECKING:
    from collections.abc import Coroutine

__all__ = ["main"]

log = structlog.get_logger("config_service")

T = TypeVar("T", bound=Settings)
R = TypeVar("R")
_REFUSED = 2


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_version(), prog_name="config-service")
@options(ServeSettings)
@click.pass_context
def main(context: click.Context, **given: Any) -> None:
    """Keep the MQTT settings of products and tell running instances of every change.

    Without a command: serve. Each setting is an option or, in capitals, an environment variable.
    Ends with 0 when told to stop, 1 on a defect, 2 when it refuses to start; all faults are told at once.
    """
    context.obj = given
    if context.invoked_subcommand is None:
        _serve(given)


def _settings(kind: type[T], *given: dict[str, Any]) -> T:
    chosen: dict[str, Any] = {}
    for options_of_one in given:
        chosen |= {name: value for name, value in options_of_one.items() if value is not None}
    try:
        settings = load(kind, {name: value for name, value in chosen.items() if name in kind.model_fields})
    except InvalidSettingsError as error:
        _refuse(str(error))
    logs.configure(settings)
    return settings


def _refuse(*lines: str) -> NoReturn:
    for line in lines:
        click.echo(line, err=True)
    sys.exit(_REFUSED)


def _run(work: Coroutine[Any, Any, R]) -> R:
    factory = None
    with contextlib.suppress(ImportError):
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(work)


@main.command("serve")
@options(ServeSettings)
@click.pass_context
def serve_command(context: click.Context, **given: Any) -> None:
    """Serve the REST API and publish changes until SIGTERM or SIGINT (the default command)."""
    _serve(context.obj, given)


def _serve(*given: dict[str, Any]) -> None:
    settings = _settings(ServeSettings, *given)
    try:
        _run(serve(settings))
    except (SchemaError, InvalidKeyError) as error:
        _refuse(str(error))
    except OSError as error:
        _refuse(f"HTTP_HOST, HTTP_PORT: cannot listen on {settings.http_host}:{settings.http_port}: {error}")
    except Exception:
        log.exception("defect")
        sys.exit(1)


@main.command()
@options(DatabaseSettings)
@click.pass_context
def migrate(context: click.Context, **given: Any) -> None:
    """Bring the tables to the version of this program."""
    settings = _settings(DatabaseSettings, context.obj, given)
    try:
        upgrade(settings.database_url)
    except SchemaError as error:
        _refuse(str(error))
    except Exception as error:
        _refuse(f"DATABASE_URL: {error}")
    click.echo("The tables are up to date.")


@main.command()
def openapi() -> None:
    """Print the OpenAPI document."""
    click.echo(openapi_json(), nl=False)


if __name__ == "__main__":
    main()
