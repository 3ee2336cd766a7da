"""`product-instance dead-letters`: what failed can be looked at, run again and dropped."""

from __future__ import annotations

import asyncio
import json
import os
from base64 import b64decode
from typing import TYPE_CHECKING, Any

from mqtt_shared.messages import Broker as BrokerSettings
from mqtt_shared.messages import Subscription
from product_instance import ProductInstance
from tests.support.waiting import eventually

from .conftest import PRODUCT, Control, applied, publisher, received, with_actions

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from tests.support.processes import Processes
    from tests.support.servers import Broker

    Run = Callable[..., Awaitable[tuple[int | None, str]]]

_FIXED = """
def register(actions):
    @actions.action("fails")
    async def fails(event, action):
        if event.payload == 1:
            raise RuntimeError("still broken")
"""


def runner(control: Control, tmp_path: Path, processes: Processes) -> Run:
    (tmp_path / "fixed_actions.py").write_text(_FIXED)
    environment = {
        "NATS_URL": control.url,
        "NATS_ROOT": control.root,
        "PRODUCT_ID": str(PRODUCT),
        "PRODUCT_KEY": control.key,
        "STATE_DIR": str(tmp_path / "state"),
        "ACTIONS": "fixed_actions",
        "PYTHONPATH": str(tmp_path),
    }

    async def run(*arguments: str) -> tuple[int | None, str]:
        process = processes.spawn("product_instance", "dead-letters", *arguments, environment=environment)
        assert await asyncio.to_thread(process.wait, 20)
        return process.returncode, process.output()

    return run


async def fill(control: Control, mosquitto: Broker, topic: str, tmp_path: Path) -> None:
    """Three dead letters of one subscription, one of another."""
    instance = ProductInstance(control.settings(tmp_path))

    @instance.action("fails")
    async def fails(_event: Any, _action: Any) -> None:
        raise RuntimeError("broken")

    forward = {"type": "mqtt_publish", "config": {"topic": f"{topic}/out", "payload": "{{ payload }}"}}
    at = BrokerSettings(host="127.0.0.1", port=mosquitto.port)
    fails_once: dict[str, Any] = {"type": "fails", "retries": 0}
    one = with_actions(Subscription(id=1, name="one", topic=f"{topic}/one"), fails_once)
    two = with_actions(Subscription(id=2, name="two", topic=f"{topic}/two"), {**forward, "retries": 0})
    broken = with_actions(two, {**forward, "retries": 0, "config": {"topic": "{{ payload.nobody }}"}})
    async with instance, publisher("127.0.0.1", mosquitto.port) as mqtt:
        await control.put(control.snapshot(at, one, broken))
        await applied(instance, 1)
        for number in (1, 2, 3):
            await mqtt.publish(f"{topic}/one", str(number).encode(), qos=1)
        await eventually(lambda: received(instance) == 3)
        await mqtt.publish(f"{topic}/two", b"4", qos=1)
        await eventually(lambda: received(instance, 2) == 1)
    await control.put(control.snapshot(at, one, two))


async def test_a_payload_that_is_larger_than_nats_takes(
    control: Control, mosquitto: Broker, topic: str, tmp_path: Path, processes: Processes
) -> None:
    """More of them than the broker lets be in flight: none holds up another subscription."""
    subjects = control.subjects
    await control.add_stream(subjects.dead_letter_stream, subjects.dead_letter("*", "*"))
    instance = ProductInstance(control.settings(tmp_path))
    sizes = list[int]()

    @instance.action("fails")
    async def fails(_event: Any, _action: Any) -> None:
        raise RuntimeError("broken")

    @instance.action("fine")
    async def fine(event: Any, _action: Any) -> None:
        sizes.append(len(event.payload))

    at = BrokerSettings(host="127.0.0.1", port=mosquitto.port)
    one = Subscription(id=1, name="one", topic=f"{topic}/one")
    two = with_actions(Subscription(id=2, name="two", topic=f"{topic}/two"), {"type": "fine"})
    payload, count = os.urandom(550_000).hex(), 22
    async with instance, publisher("127.0.0.1", mosquitto.port) as mqtt:
        await control.put(control.snapshot(at, with_actions(one, {"type": "fails", "retries": 0}), two))
        await applied(instance, 1)
        for _ in range(count):
            await mqtt.publish(f"{topic}/one", payload.encode(), qos=1)
        await mqtt.publish(f"{topic}/two", b"small", qos=1)
        await eventually(lambda: received(instance) == count and received(instance, 2) == 1)
    assert sizes == [5]
    await control.put(control.snapshot(at, with_actions(one, {"type": "fails"}), two))

    run = runner(control, tmp_path, processes)
    _, listed = await run("list", "--json")
    sequences = [json.loads(line)["sequence"] for line in listed.splitlines()]
    assert len(sequences) == count
    _, shown = await run("show", "--json", str(sequences[0]))
    assert b64decode(json.loads(shown)["payload_base64"]).decode() == payload
    # What is gone of one is told, and the others work: their action, as the command has it, does.
    await control.drop(
        control.subjects.dead_letter_stream, json.loads(listed.splitlines()[1])["payload_parts"][0]
    )
    code, output = await run("replay", "--all")
    assert code == 1
    assert f"{sequences[1]}: failed again" in output
    assert "no longer in the stream" in output
    assert f"replayed: {count - 1}, failed: 1" in output
    assert await run("drop", "--all", "--yes") == (0, "dropped: 1\n")
    assert await control.stored(control.subjects.dead_letter_stream) == []


async def test_list_show_replay_drop(
    control: Control, mosquitto: Broker, topic: str, tmp_path: Path, processes: Processes
) -> None:
    run = runner(control, tmp_path, processes)
    assert await run("list") == (0, "no dead letters\n")
    await fill(control, mosquitto, topic, tmp_path)
    code, output = await run("list", "--json")
    assert code == 0
    listed = [json.loads(line) for line in output.splitlines()]
    assert [(each["sequence"], each["subscription"], each["attempts"]) for each in listed] == [
        (1, "one", 1),
        (2, "one", 1),
        (3, "one", 1),
        (4, "two", 1),
    ]
    assert listed[0]["error"] == "broken"
    (_, by_name), (_, by_id), (code, shown), (missing, words) = await asyncio.gather(
        run("list", "--subscription", "two"),
        run("list", "--subscription", "1"),
        run("show", "4"),
        run("show", "9"),
    )
    assert [line.split()[0] for line in by_name.splitlines()] == ["4"]
    assert [line.split()[0] for line in by_id.splitlines()] == ["1", "2", "3"]
    assert (code, json.loads(shown)["topic"]) == (0, f"{topic}/two")
    assert json.loads(shown)["payload"] == 4
    assert (missing, "no dead letter 9" in words) == (1, True)

    code, output = await run("replay", "1", "2")
    assert code == 1
    assert "1: failed again: still broken" in output
    assert "replayed: 1, failed: 1" in output
    _, output = await run("list", "--json")
    left = [json.loads(line) for line in output.splitlines()]
    assert [(each["sequence"], each["attempts"], each["error"]) for each in left] == [
        (3, 1, "broken"),
        (4, 1, left[1]["error"]),
        (5, 2, "still broken"),
    ]
    assert left[2]["message_id"] == listed[0]["message_id"]

    seen = list[bytes]()
    async with publisher("127.0.0.1", mosquitto.port, seen.append) as mqtt:
        await mqtt.subscribe({f"{topic}/out": 1})
        assert (await run("replay", "--all", "--subscription", "two"))[0] == 0
        await eventually(lambda: seen == [b"4"])

    assert (await run("drop"))[0] == 2
    code, output = await run("drop", "--all")
    assert code == 1
    assert await run("drop", "--all", "--yes") == (0, "dropped: 2\n")
    assert await run("list") == (0, "no dead letters\n")
