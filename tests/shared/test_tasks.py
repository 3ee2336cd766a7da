"""Ending tasks, also those that swallow a cancellation."""

from __future__ import annotations

import asyncio

from mqtt_shared import tasks


async def test_a_task_that_swallows_its_first_cancellation_ends() -> None:
    swallowed = asyncio.Event()

    async def stubborn() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            swallowed.set()
        await asyncio.sleep(60)

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    await asyncio.wait_for(tasks.end([task]), 10)
    assert swallowed.is_set()
    assert task.cancelled()


async def test_errors_stay_with_the_task() -> None:
    async def failing() -> None:
        raise ValueError("made up")

    task = asyncio.create_task(failing())
    await asyncio.wait([task])
    await tasks.end([task])
    assert isinstance(task.exception(), ValueError)
