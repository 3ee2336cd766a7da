"""A change to many subscriptions does not hold up one that it leaves alone."""

from __future__ import annotations

import asyncio
from statistics import median
from typing import TYPE_CHECKING

from mqtt_shared.messages import Subscription
from tests.product_instance.conftest import with_actions
from tests.support.waiting import eventually

from .books import COLLECT
from .cells import Place, Pulse, longest_pause
from .consumers import Kind, command, snapshot

if TYPE_CHECKING:
    from pathlib import Path

    from mqtt_shared.messages import Snapshot

    from .consumers import Consumer

KIND = Kind(session="clean", shared=False, protocol="3.1.1")
_MANY = 1000
_CHANGES = 8


def _changed(made: Consumer, port: int, number: int) -> Snapshot:
    """Two subscriptions that stay, and a thousand with other actions, every other time with other topics."""
    before = snapshot(made.control, KIND, port)
    action = {**COLLECT, "config": {"number": str(number), "text": "x" * 100}}
    topic = f"{made.control.root}/many/{number % 2}"
    many = [
        with_actions(Subscription(id=at, name=f"s{at}", topic=f"{topic}/{at}"), action)
        for at in range(10, 10 + _MANY)
    ]
    return made.control.snapshot(before.broker, *before.subscriptions, *many, topics=before.topics)


async def test_a_thousand_changed_subscriptions_hold_nobody_up(
    place: Place, nats_root: str, tmp_path: Path
) -> None:
    ours, normal = list[float](), list[float]()
    async with (
        command(KIND, nats_root, place.nats_url, place.port, tmp_path) as (made, _),
        Pulse(place.port, f"{nats_root}/pulse") as pulse,
    ):
        for number in range(_CHANGES + 1):
            wanted = _changed(made, place.port, number)
            begin = asyncio.get_running_loop().time()
            await made.control.put(wanted)

            def is_applied(revision: int = wanted.revision) -> bool:
                return any(each.applied_revision == revision for each in made.control.heartbeats)

            await eventually(is_applied)
            await asyncio.sleep(0.3)
            end = asyncio.get_running_loop().time()
            if number:
                ours.append(longest_pause(made.books.times, begin, end))
                normal.append(longest_pause(pulse.times, begin, end))
    # A bare client on the same broker at the same time is the measure of what the machine does.
    ratios = [a / b for a, b in zip(ours, normal, strict=True)]
    # Single ones may be the machine's: this process and that of the instance do not share every pause. What
    # a change takes, every change takes.
    assert median(ratios) < 2.5, ratios
