"""Figures of one run: medians, percentiles, ratios and their spread."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Figure", "limit_figure", "percentile", "ratio_figure", "table"]


class Figure(Struct, frozen=True, kw_only=True):
    """One measured value beside its floor. `spread`: lowest and highest ratio of the rounds."""

    name: str
    ours: str
    floor: str
    ratio: float
    spread: tuple[float, float]
    goal: str
    reached: bool


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0 to 1) of the values lie, by the nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def ratio_figure(
    name: str,
    ours: Sequence[float],
    floor: Sequence[float],
    *,
    unit: str,
    at_least: float = 0,
    at_most: float = 0,
) -> Figure:
    """Compare rounds that ran in turns: the median of each side, and the ratio of each pair as spread."""
    ratio = statistics.median(ours) / statistics.median(floor)
    pairs = [a / b for a, b in zip(ours, floor, strict=True)]
    return Figure(
        name=name,
        ours=f"{statistics.median(ours):,.4g} {unit}",
        floor=f"{statistics.median(floor):,.4g} {unit}",
        ratio=ratio,
        spread=(min(pairs), max(pairs)),
        goal=f">= {at_least}" if at_least else f"<= {at_most}",
        reached=ratio >= at_least if at_least else ratio <= at_most,
    )


def limit_figure(name: str, values: Sequence[float], limit: float, unit: str) -> Figure:
    """The median of the rounds beside a limit that they must stay below."""
    middle = statistics.median(values)
    return Figure(
        name=name,
        ours=f"{middle:.3g} {unit}",
        floor=f"limit {limit:g} {unit}",
        ratio=middle / limit,
        spread=(min(values) / limit, max(values) / limit),
        goal="<= 1.0",
        reached=middle <= limit,
    )


def table(figures: Sequence[Figure]) -> str:
    """The figures as a Markdown table."""
    rows = [
        "| figure | ours | floor | ratio | spread | goal | reached |",
        "|---|---|---|---|---|---|---|",
    ]
    rows += [
        f"| {f.name} | {f.ours} | {f.floor} | {f.ratio:.2f} | {f.spread[0]:.2f} to {f.spread[1]:.2f} "
        f"| {f.goal} | {'yes' if f.reached else 'no'} |"
        for f in figures
    ]
    return "\n".join(rows)
