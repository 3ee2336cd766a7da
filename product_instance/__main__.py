"""The command `product-instance`."""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import TYPE_CHECKING, Any

import click
import msgspec

from mqtt_shared import logs
from mqtt_shared.settings import InvalidSettingsError, load, options

from .errors import InstanceError, RejectedError
from .instance import ProductInstance
from .settings import InstanceSettings

if TYPE_CHECKING:
    from collections.abc import Coroutine

__all__ = ["main"]

_EXIT_CODES = """\b
Exit codes:
  0  stopped in order; check: all is well
  1  a defect, or check: something does not work
  2  a setting is missing or wrong; all faults are told at once
  3  another process runs under the same instance id from the same STATE_DIR
"""


class _RunByDefault(click.Group):
    """`product-instance` alone, or with options only, means `run`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0].startswith("-") and args[0] != "--help"):
            args = ["run", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_RunByDefault, epilog=_EXIT_CODES)
def main() -> None:
    """Run an instance of a product: it consumes MQTT messages as the product's configuration says."""


@main.command(epilog=_EXIT_CODES)
@options(InstanceSettings)
def run(**given: Any) -> None:
    """Run until SIGTERM or SIGINT; then finish what is in flight (the default command)."""
    settings = _settings(given)
    logs.configure(settings)
    _carry_out(_run(settings))


@main.command(epilog=_EXIT_CODES)
@options(InstanceSettings)
def check(**given: Any) -> None:
    """Check the settings, open the snapshot of the product, and try the broker; changes nothing."""
    settings = _settings(given)
    logs.configure(settings)
    _carry_out(_check(settings))


@main.command("show-config", epilog=_EXIT_CODES)
@options(InstanceSettings)
def show_config(**given: Any) -> None:
    """Print the configuration that is wanted (NATS) and the one last applied (disk), without secrets."""
    settings = _settings(given)
    logs.configure(settings)
    _carry_out(_show(settings))


def _settings(given: dict[str, Any]) -> InstanceSettings:
    try:
        return load(InstanceSettings, given)
    except InvalidSettingsError as error:
        click.echo(str(error), err=True)
        sys.exit(2)


def _carry_out(work: Coroutine[Any, Any, None]) -> None:
    try:
        _loop_runner(work)
    except InvalidSettingsError as error:
        click.echo(str(error), err=True)
        sys.exit(2)
    except RejectedError as error:
        click.echo(error.reason, err=True)
        sys.exit(1)
    except InstanceError as error:
        click.echo(str(error), err=True)
        sys.exit(3)


def _loop_runner(work: Coroutine[Any, Any, None]) -> None:
    try:
        import uvloop
    except ImportError:
        asyncio.run(work)
    else:
        uvloop.run(work)


async def _run(settings: InstanceSettings) -> None:
    async with ProductInstance(settings) as instance:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, instance.stop)
        await instance.run()


async def _check(settings: InstanceSettings) -> None:
    from .inspection import inspect

    seen = await inspect(settings)
    click.echo("settings: good")
    configuration = seen.wanted or seen.stored
    if configuration is None:
        raise RejectedError(
            seen.fault or "no configuration: NATS has none for this product, nor has STATE_DIR"
        )
    click.echo(f"configuration: revision {configuration.revision} from {configuration.source}")
    if seen.fault:
        raise RejectedError(seen.fault)
    if configuration.target.broker is None:
        click.echo("broker: none, the configuration says to consume nothing")
        return
    await seen.try_broker(configuration)
    click.echo(f"broker: connected to {configuration.target.broker.host}:{configuration.target.broker.port}")


async def _show(settings: InstanceSettings) -> None:
    from .inspection import inspect

    seen = await inspect(settings)
    click.echo(msgspec.json.format(msgspec.json.encode(seen.shown()), indent=2).decode())


if __name__ == "__main__":
    main()
