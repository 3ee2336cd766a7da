"""The command `status-collector`."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import sys
from importlib.metadata import version
from typing import Any

import click

from mqtt_shared import logs, pauses
from mqtt_shared.logs import get_logger
from mqtt_shared.settings import InvalidSettingsError, load, options

from .app import Collector, collector
from .settings import CollectorSettings

__all__ = ["main"]

log = get_logger(__name__)

_OBJECTS_BETWEEN_COLLECTIONS = 50_000
"""A flush makes many objects that all go with it and hold no cycles: looking at them finds nothing."""


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("mqtt-control-plane"), prog_name="status-collector")
@options(CollectorSettings)
@click.pass_context
def main(context: click.Context, **given: Any) -> None:
    """Count what instances report and keep the status of products.

    Without a command: run. Ends with 0 when told to stop, 1 on a defect or a taken port, 2 on wrong settings.
    """
    context.obj = given
    if context.invoked_subcommand is None:
        context.invoke(run)


@main.command()
@options(CollectorSettings)
@click.pass_context
def run(context: click.Context, **given: Any) -> None:
    """Consume heartbeats until SIGTERM or SIGINT."""
    chosen: dict[str, Any] = {
        **context.obj,
        **{key: value for key, value in given.items() if value is not None},
    }
    try:
        settings = load(CollectorSettings, chosen)
    except InvalidSettingsError as error:
        click.echo(f"status-collector cannot start:\n{error}", err=True)
        sys.exit(2)
    logs.configure(settings)
    sys.exit(_runner(settings))


def _runner(settings: CollectorSettings) -> int:
    factory = None
    with contextlib.suppress(ImportError):
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(_run(settings))


async def _run(settings: CollectorSettings) -> int:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        # Windows has no signal handlers in a loop; Ctrl-C is a KeyboardInterrupt there.
        with contextlib.suppress(NotImplementedError):
            asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    try:
        async with collector(settings) as running:
            log.info("collecting", http_port=running.port, nats_root=settings.nats_root)
            pauses.freeze_imported()
            gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
            died = await _until(stopped, running)
    except OSError as error:
        log.error("cannot listen", host=settings.http_host, port=settings.http_port, error=str(error))
        return 1
    if died is not None:
        log.error("a task died", exc_info=died)
        return 1
    log.info("stopped")
    return 0


async def _until(stopped: asyncio.Event, running: Collector) -> BaseException | None:
    """Wait for the end; what a task died of, or none when told to stop."""
    told, dead = asyncio.create_task(stopped.wait()), asyncio.create_task(running.wait())
    await asyncio.wait([told, dead], return_when=asyncio.FIRST_COMPLETED)
    died = None if stopped.is_set() else dead.exception()
    told.cancel()
    dead.cancel()
    await asyncio.wait([told, dead])
    return died


if __name__ == "__main__":
    main()
