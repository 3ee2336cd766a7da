"""`make conformance`: what each broker supports, as one table.

BROKER=host:port adds one of yours (without TLS and password); ARGS=--write puts the table into the reference.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click
from msgspec import structs

from deploy.local.process import Guard
from tests.support.certificates import Certificates
from tests.support.servers import Servers

from .brokers import Server, mosquitto, nats
from .checks import run
from .table import PAGE, replaced, table

if TYPE_CHECKING:
    from collections.abc import Generator


@click.command()
@click.option("--broker", metavar="HOST:PORT", help="One more broker.")
@click.option("--write", is_flag=True, help="Put the table into docs/reference/brokers.md.")
def main(*, broker: str | None, write: bool) -> None:
    """Run the checks and print the table."""
    with _servers(broker) as servers:
        found = {server.name: asyncio.run(run(server)) for server in servers}
    click.echo(table(found))
    if write:
        PAGE.write_text(replaced(PAGE.read_text(), table(found)))


@contextlib.contextmanager
def _servers(broker: str | None) -> Generator[list[Server]]:
    guard = Guard()
    with tempfile.TemporaryDirectory(prefix="conformance-") as directory:
        folder = Path(directory)
        (folder / "tls").mkdir()
        tls = Certificates(folder / "tls")
        made = Servers(folder, guard)
        try:
            control = made.nats()
            with nats(folder, guard, tls) as listener:
                found = [each for each in (mosquitto(made, tls), listener, _given(broker)) if each]
                yield [structs.replace(each, nats_url=control.url, folder=folder) for each in found]
        finally:
            made.close()
            guard.close()


def _given(broker: str | None) -> Server | None:
    if not broker:
        return None
    host, _, port = broker.rpartition(":")
    if not host or not port.isdecimal():
        raise click.BadParameter(f"{broker} is not HOST:PORT", param_hint="--broker")
    return Server(name=broker, host=host.strip("[]"), port=int(port))


if __name__ == "__main__":
    main()
