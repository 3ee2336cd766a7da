"""The command `product-instance`."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

import click
import msgspec

from mqtt_shared import logs, pauses
from mqtt_shared.settings import InvalidSettingsError, load, options

from . import deadletter_commands
from .core.concerns import unverified
from .errors import InstanceError, RejectedError, StateInUseError
from .instance import ProductInstance
from .settings import InstanceSettings, ProductSettings

if TYPE_CHECKING:
    from collections.abc import Coroutine

__all__ = ["main"]

T = TypeVar("T")
S = TypeVar("S", bound=ProductSettings)

_EXIT_CODES = """\b
Exit codes:
  0  stopped in order; check: all is well; dead-letters: done
  1  a defect; check, dead-letters: something does not work, or failed again
  2  a setting is missing or wrong; all faults are told at once
  3  another process runs under the same instance id from the same STATE_DIR
  4  an action did not let it stop within DRAIN_TIMEOUT_SECONDS and 10 seconds
"""
_STUCK = 4
_END_SECONDS = 10


class _RunByDefault(click.Group):
    """`product-instance` alone, or with options only, means `run`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0].startswith("-") and args[0] not in ctx.help_option_names):
            args = ["run", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_RunByDefault, epilog=_EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Run an instance of a product: it consumes MQTT messages as the product's configuration says."""


@main.command(epilog=_EXIT_CODES, short_help="Run until SIGTERM or SIGINT (the default).")
@options(InstanceSettings)
def run(**given: Any) -> None:
    """Run until SIGTERM or SIGINT; then finish what is in flight (the default command)."""
    _carry_out(_run(_start(InstanceSettings, given)))


@main.command(epilog=_EXIT_CODES, short_help="Try settings, snapshot, broker and actions.")
@options(InstanceSettings)
def check(**given: Any) -> None:
    """Check the settings, the snapshot, the broker and the actions; changes nothing."""
    _carry_out(_check(_start(InstanceSettings, given)))


@main.command("show-config", epilog=_EXIT_CODES, short_help="Print the wanted and the applied configuration.")
@options(InstanceSettings)
def show_config(**given: Any) -> None:
    """Print the configuration that is wanted (NATS) and the one last applied (disk), without secrets."""
    _carry_out(_show(_start(InstanceSettings, given)))


@main.group("dead-letters", epilog=_EXIT_CODES, short_help="List, show, replay and drop what failed.")
def dead_letters() -> None:
    """Work on messages whose action failed for the last time."""


_sequences = click.argument("sequences", nargs=-1, type=click.IntRange(min=1))
_every = click.option("--all", "every", is_flag=True, help="All of the product, or of --subscription.")
_subscription = click.option("--subscription", metavar="NAME_OR_ID", help="Only those of one subscription.")
_json = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")


@dead_letters.command("list", epilog=_EXIT_CODES)
@_subscription
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="Most to show.")
@_json
@options(ProductSettings)
def list_letters(subscription: str | None, limit: int, as_json: bool, **given: Any) -> None:
    """List the dead letters, oldest first."""
    settings = _start(ProductSettings, given)
    _carry_out(deadletter_commands.list_letters(settings, subscription, limit, as_json=as_json))


@dead_letters.command(epilog=_EXIT_CODES)
@click.argument("sequence", type=click.IntRange(min=1))
@_json
@options(ProductSettings)
def show(sequence: int, as_json: bool, **given: Any) -> None:
    """Show one dead letter with all its fields."""
    _carry_out(deadletter_commands.show(_start(ProductSettings, given), sequence, as_json=as_json))


@dead_letters.command(epilog=_EXIT_CODES, short_help="Run the failed actions again.")
@_sequences
@_every
@_subscription
@_json
@options(InstanceSettings)
def replay(
    sequences: tuple[int, ...], every: bool, subscription: str | None, as_json: bool, **given: Any
) -> None:
    """Run the failed actions of dead letters again, with the configuration that is wanted now.

    What works is taken out of the stream; what fails again stays, with its attempts added up.
    """
    _check_choice(sequences, subscription, every=every)
    settings = _start(InstanceSettings, given)
    work = deadletter_commands.replay(settings, sequences, subscription, as_json=as_json)
    if not _carry_out(work):
        sys.exit(1)


@dead_letters.command(epilog=_EXIT_CODES)
@_sequences
@_every
@_subscription
@click.option("--yes", is_flag=True, help="Do not ask.")
@options(ProductSettings)
def drop(sequences: tuple[int, ...], every: bool, subscription: str | None, yes: bool, **given: Any) -> None:
    """Drop dead letters for good."""
    _check_choice(sequences, subscription, every=every)
    settings = _start(ProductSettings, given)
    which = (
        f"{len(sequences)} dead letters"
        if sequences
        else f"all dead letters of {subscription or 'the product'}"
    )
    if not yes:
        click.confirm(f"Drop {which} for good?", abort=True)
    _carry_out(deadletter_commands.drop(settings, sequences, subscription))


def _check_choice(sequences: tuple[int, ...], subscription: str | None, *, every: bool) -> None:
    if bool(sequences) == every:
        raise click.UsageError("name the sequence numbers of dead letters, or --all")
    if sequences and subscription:
        raise click.UsageError("--subscription goes with --all")


def _start(kind: type[S], given: dict[str, Any]) -> S:
    settings = _settings(kind, given)
    logs.configure(settings)
    return settings


def _settings(kind: type[S], given: dict[str, Any]) -> S:
    try:
        return load(kind, given)
    except InvalidSettingsError as error:
        click.echo(str(error), err=True)
        sys.exit(2)


def _carry_out(work: Coroutine[Any, Any, T]) -> T:
    try:
        return _loop_runner(work)
    except InvalidSettingsError as error:
        click.echo(str(error), err=True)
        sys.exit(2)
    except RejectedError as error:
        click.echo(error.reason, err=True)
        sys.exit(1)
    except StateInUseError as error:
        click.echo(str(error), err=True)
        sys.exit(3)
    except InstanceError as error:
        click.echo(str(error), err=True)
        sys.exit(1)


def _loop_runner(work: Coroutine[Any, Any, T]) -> T:
    try:
        import uvloop
    except ImportError:
        return asyncio.run(work)
    return uvloop.run(work)


async def _run(settings: InstanceSettings) -> None:
    async with ProductInstance(settings) as instance:
        loop = asyncio.get_running_loop()
        signalled = SimpleQueue[int]()
        arguments = (signalled, settings.drain_timeout_seconds + _END_SECONDS)
        threading.Thread(target=_bound, args=arguments, name="bound of the stop", daemon=True).start()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, instance.stop)
            # This one in place of the loop's own, which does nothing: an action may block the loop.
            signal.signal(number, lambda number, _: signalled.put(number))
        pauses.freeze_imported()
        await instance.run()


def _bound(signalled: SimpleQueue[int], seconds: float) -> None:
    """End the process so many seconds after the first signal, if it has not ended by then."""
    signalled.get()
    time.sleep(seconds)
    click.echo("did not stop in time; what was in flight stays with the broker", err=True)
    os._exit(_STUCK)


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
    broker = configuration.target.broker
    if broker is None:
        click.echo("broker: none, the configuration says to consume nothing")
        return
    await seen.try_broker(configuration)
    click.echo(f"broker: connected to {broker.host}:{broker.port}")
    if words := unverified(configuration.target):
        click.echo(f"warning: {words}", err=True)
    if found := seen.concerns(configuration):
        raise RejectedError("\n".join(found))
    click.echo("actions: all can run here")


async def _show(settings: InstanceSettings) -> None:
    from .inspection import inspect

    seen = await inspect(settings)
    click.echo(msgspec.json.format(msgspec.json.encode(seen.shown()), indent=2).decode())


if __name__ == "__main__":
    main()
