"""The command `config-service`."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click
import msgspec
from msgspec import structs

from mqtt_shared import logs, pauses
from mqtt_shared.logs import get_logger
from mqtt_shared.sealing import InvalidKeyError
from mqtt_shared.settings import InvalidSettingsError, Settings, load, options

from . import backend
from .app import backend_settings, openapi_json, serve
from .core import validation
from .core.errors import InvalidInputError, ServiceError
from .core.inputs import TokenInput
from .core.model import Write
from .metrics import package_version
from .migration import SchemaError
from .settings import DatabaseSettings, ServeSettings, StoreSettings

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from .core.model import ApiToken, Change, ConfigAnswer

__all__ = ["main"]

log = get_logger("config_service")

T = TypeVar("T", bound=Settings)
R = TypeVar("R")
_REFUSED = 2
_PAGE = 200
_ACTOR = "command line"


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
    pauses.freeze_imported()
    try:
        _carry_out(serve(settings))
    except OSError as error:
        _refuse(f"HTTP_HOST, HTTP_PORT: cannot listen on {settings.http_host}:{settings.http_port}: {error}")
    except Exception:
        log.exception("defect")
        sys.exit(1)


@main.command()
@options(DatabaseSettings)
@click.pass_context
def migrate(context: click.Context, **given: Any) -> None:
    """Bring the tables to the version of this program; waits for a PostgreSQL that is away."""
    settings = _settings(DatabaseSettings, context.obj, given)
    _carry_out(backend.migrate(settings.database_url))
    click.echo("The tables are up to date.")


@main.command("rotate-keys")
@options(StoreSettings)
@click.pass_context
def rotate_keys(context: click.Context, **given: Any) -> None:
    """Encrypt all that is stored with the first key; the service may run."""
    settings = _settings(StoreSettings, context.obj, given)
    count = _carry_out(backend.rotate(backend_settings(settings)))
    click.echo(f"{count} secrets encrypted anew with the first key.")


@main.command("import")
@options(StoreSettings)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--product", type=click.IntRange(1, 2**31 - 1), required=True, help="Id of the product.")
@click.option("--dry-run", is_flag=True, help="Check the file and tell the effect; write nothing.")
@click.pass_context
def import_file(context: click.Context, file: Path, product: int, *, dry_run: bool, **given: Any) -> None:
    """Import an export, or a legacy mqtt_events.json: all of it or nothing."""
    settings = _settings(StoreSettings, context.obj, given)
    change = _carry_out(_import(settings, file.read_bytes(), product, Write(actor=_ACTOR, dry_run=dry_run)))
    for warning in change.warnings:
        click.echo(f"warning: {'.'.join(map(str, warning.loc))}: {warning.msg}", err=True)
    count = len(change.value.subscriptions or ())
    done = "would have" if dry_run else f"is at revision {change.revision} now and has"
    click.echo(f"Product {product} {done} {count} subscription{'' if count == 1 else 's'}.")


async def _import(settings: StoreSettings, raw: bytes, product: int, write: Write) -> Change[ConfigAnswer]:
    document = validation.read(raw, dict[str, Any])
    async with backend.open_offline(backend_settings(settings)) as usecases:
        return await usecases.import_config(product, document, write)


@main.group()
def token() -> None:
    """Bearer tokens."""


@token.command("create")
@options(StoreSettings)
@click.argument("name")
@click.option("--role", type=click.Choice(["viewer", "operator", "administrator"]), required=True)
@click.option(
    "--product", "products", type=int, multiple=True, help="Limit to this product; may be repeated."
)
@click.option("--days", type=click.IntRange(1, 36500), help="Ends after so many days.")
@click.pass_context
def create_token(
    context: click.Context, name: str, role: str, products: tuple[int, ...], days: int | None, **given: Any
) -> None:
    """Create a token and print it, this once."""
    settings = _settings(StoreSettings, context.obj, given)
    body = {"name": name, "role": role, "product_ids": list(products) or None}
    expires_at = datetime.now(UTC) + timedelta(days=days) if days else None

    async def create() -> tuple[ApiToken, str]:
        new = structs.replace(validation.convert(body, TokenInput), expires_at=expires_at)
        async with backend.open_offline(backend_settings(settings)) as usecases:
            return await usecases.create_token(new, Write(actor=_ACTOR))

    click.echo(_carry_out(create())[1])


@token.command("list")
@options(StoreSettings)
@click.pass_context
def list_tokens(context: click.Context, **given: Any) -> None:
    """List tokens, one JSON object a line, without the tokens themselves."""
    settings = _settings(StoreSettings, context.obj, given)
    for found in _carry_out(_all_tokens(settings)):
        click.echo(msgspec.json.encode(found))


async def _all_tokens(settings: StoreSettings) -> list[ApiToken]:
    cursor, found = None, list["ApiToken"]()
    async with backend.open_offline(backend_settings(settings)) as usecases:
        while True:
            page = await usecases.list_tokens(_PAGE, cursor)
            found += page.items
            if (cursor := page.next_cursor) is None:
                return found


@token.command("revoke")
@options(StoreSettings)
@click.argument("token_id", type=click.IntRange(1, 2**31 - 1))
@click.pass_context
def revoke_token(context: click.Context, token_id: int, **given: Any) -> None:
    """Remove a token; running services take it for a few seconds more."""
    settings = _settings(StoreSettings, context.obj, given)

    async def delete() -> None:
        async with backend.open_offline(backend_settings(settings)) as usecases:
            await usecases.delete_token(token_id)

    _carry_out(delete())
    click.echo(f"Token {token_id} is revoked.")


def _carry_out(work: Coroutine[Any, Any, R]) -> R:
    try:
        return _run(work)
    except InvalidInputError as error:
        _refuse(*(f"{'.'.join(map(str, fault.loc[1:]))}: {fault.msg}" for fault in error.faults))
    except (SchemaError, InvalidKeyError, ServiceError, validation.MalformedJsonError) as error:
        _refuse(str(error))


@main.command()
def openapi() -> None:
    """Print the OpenAPI document."""
    click.echo(openapi_json(), nl=False)


if __name__ == "__main__":
    main()
