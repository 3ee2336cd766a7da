"""What became of the messages: one row for each fault, printed as one table at the end of the run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

FILE = Path(__file__).parents[2] / "build" / "faults.md"
PROPERTY = "fault"


class Row(Struct, frozen=True, kw_only=True, order=True):
    """One fault under load. `gap` (seconds): the longest pause on a topic that the fault leaves alone;
    `normal_gap`: what a bare client saw at the same time.
    """

    fault: str
    session: str = ""
    topics: str = ""
    protocol: str = ""
    sent: int = 0
    delivered: int = 0
    duplicated: int = 0
    gap: float = 0.0
    normal_gap: float = 0.0
    note: str = ""

    @property
    def lost(self) -> int:
        """Acknowledged by the broker to the publisher, and never seen by an action."""
        return self.sent - self.delivered

    def __str__(self) -> str:
        return " | ".join(_cells(self))


def _cells(row: Row) -> list[str]:
    gap = f"{row.gap * 1000:.0f} / {row.normal_gap * 1000:.0f}" if row.gap else ""
    numbers = [row.sent, row.delivered, row.lost, row.duplicated]
    return [row.fault, row.session, row.topics, row.protocol, *map(str, numbers), gap, row.note]


def table(rows: Sequence[Row]) -> str:
    """As Markdown."""
    heads = ["fault", "session", "topics", "MQTT", "sent", "delivered", "lost", "duplicated"]
    lines = [[*heads, "pause / bare client, ms", "note"], ["---"] * 10, *map(_cells, sorted(rows))]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def encoded(row: Row) -> str:
    """As a test's property can carry it from a worker."""
    return msgspec.json.encode(row).decode()


def report(properties: Iterable[tuple[str, object]]) -> str:
    """The table of all rows among the properties of tests; also written to `FILE`."""
    rows = [msgspec.json.decode(str(value), type=Row) for name, value in properties if name == PROPERTY]
    if not rows:
        return ""
    text = table(rows)
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(text + "\n")
    return text
