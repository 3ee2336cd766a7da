"""`python -m benchmarks`: run everything, print the table; `--write` puts it into docs/performance.md."""

from __future__ import annotations

import asyncio
import os
import platform
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import click

from . import chain, collect, consume, dashboard, events, instances, rest
from .figures import Figure, table
from .servers import serve

_PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
_MARK = "<!-- figures -->"


@click.command()
@click.option("--write", is_flag=True, help="Put the table into docs/performance.md.")
def main(*, write: bool) -> None:
    """Measure, and print each figure beside its floor from the same run."""
    figures = asyncio.run(_measure())
    text = f"{_machine()}\n\n{table(figures)}\n"
    click.echo(text)
    if write:
        head, mark, _ = _PAGE.read_text().partition(_MARK)
        _PAGE.write_text(f"{head}{mark}\n\n{text}")
    sys.exit(0 if all(figure.reached for figure in figures) else 1)


async def _measure() -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        async with serve(Path(directory)) as servers:
            figures = [*await chain.measure(servers), *await rest.measure(servers)]
            figures += await events.measure(servers)
            figures += await dashboard.measure(servers)
            figures += await instances.measure(servers)
    # Without the services above beside them.
    return [*figures, *await collect.measure(), *await consume.measure()]


def _machine() -> str:
    day = datetime.now(UTC).date()
    return (
        f"{day}, {os.cpu_count()} cores ({platform.machine()}), shared, {platform.system()}, "
        f"Python {platform.python_version()}. Spread: lowest and highest ratio of the rounds."
    )


if __name__ == "__main__":
    main()
