"""Every change of the configuration under load, message by message: nothing is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .cells import CHANGES, PROTOCOLS, SESSIONS, Cell, Place, matrix, run_all
from .conftest import WHOLE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .table import Row


def _few() -> list[Cell]:
    """Each change twice, with the sessions, topics and protocols in turn."""
    found = list[Cell]()
    for at, change in enumerate(CHANGES):
        fitting = [cell for cell in matrix() if cell.change == change]
        found += [fitting[at % len(fitting)], fitting[(at + len(fitting) // 2 + 1) % len(fitting)]]
    return found


def _groups() -> dict[str, list[Cell]]:
    if not WHOLE:
        return {"few": _few()}
    return {
        f"{session} {protocol}": [
            cell for cell in matrix() if (cell.session, cell.protocol) == (session, protocol)
        ]
        for session in SESSIONS
        for protocol in PROTOCOLS
    }


@pytest.mark.parametrize("group", _groups())
async def test_no_change_loses_a_message(
    group: str, place: Place, nats_root: str, record: Callable[[Row], None]
) -> None:
    rows = await run_all(_groups()[group], place, nats_root)
    for row in rows:
        record(row)
    assert not [str(row) for row in rows if row.lost or row.note]
    assert not _paused(rows)


def _paused(rows: Sequence[Row]) -> list[str]:
    """Where a change to another subscription held one up: longer than a bare client saw at the same time."""
    return [str(row) for row in rows if row.gap > 2 * row.normal_gap + 0.1]
