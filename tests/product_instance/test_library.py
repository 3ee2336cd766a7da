"""The library inside other programs."""

from __future__ import annotations

import asyncio
import re
import shutil
import signal
import subprocess
import sys
import threading
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import ClientSession

from deploy.local import kept
from mqtt_shared.messages import Broker as BrokerSettings
from mqtt_shared.messages import Subscription
from mqtt_shared.outgoing import MqttMessage
from product_instance import Actions, InstanceSettings, PermanentActionError, ProductInstance, StateInUseError
from product_instance.testing import FailedAction, Trial
from product_instance.threaded import ThreadedInstance
from tests.support.waiting import eventually

from .conftest import Control, applied, publisher, received, with_actions

if TYPE_CHECKING:
    from tests.support.processes import Processes
    from tests.support.servers import Broker

ROOT = Path(__file__).parents[2]


def at(mosquitto: Broker) -> BrokerSettings:
    return BrokerSettings(host="127.0.0.1", port=mosquitto.port)


def embedded() -> list[str]:
    """The Python blocks of the how-to."""
    return re.findall(r"```python\n(.*?)```", (ROOT / "docs/how-to/embed.md").read_text(), re.DOTALL)


def host_environment(control: Control, folder: Path) -> dict[str, str]:
    """Of a host program whose modules are in `folder`."""
    settings = control.settings(folder)
    names = ("nats_url", "nats_root", "product_id", "state_dir", "heartbeat_interval_seconds")
    found = {name.upper(): str(getattr(settings, name)) for name in names}
    return found | {"PRODUCT_KEY": control.key, "PYTHONPATH": str(folder), "PYTHONUNBUFFERED": "1"}


def test_what_is_not_given_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the examples write it, also to a strict type checker."""
    monkeypatch.setenv("PRODUCT_ID", "5")
    assert InstanceSettings().product_id == 5
    assert InstanceSettings(product_id=6).product_id == 6


async def test_trying_handlers_without_servers() -> None:
    actions, calls = Actions(), list[object]()

    @actions.action("sync")
    def sync(event: Any, _action: Any) -> None:
        calls.append((threading.current_thread() is threading.main_thread(), event.payload))

    @actions.action("broken")
    async def broken(_event: Any, action: Any) -> None:
        raise RuntimeError(f"no {action['config']['what']}")

    @actions.action("cancelled")
    async def cancelled(_event: Any, _action: Any) -> None:
        other = asyncio.create_task(asyncio.sleep(60))
        other.cancel()
        await other

    @actions.action("never")
    async def never(_event: Any, _action: Any) -> None:
        raise PermanentActionError("never")

    @actions.action("exiting")
    async def exiting(_event: Any, _action: Any) -> None:
        sys.exit(7)

    @actions.action("exiting thread")
    def exiting_thread(_event: Any, _action: Any) -> None:
        sys.exit("no disk")

    trial = Trial(actions, variables={"site": "north"}, secrets={"token": "made-up"})
    tried = await trial.run(
        [
            {"type": "sync", "conditions": {"kind": ["a", "b"]}},
            {"type": "sync", "conditions": {"kind": "c"}},
            {"type": "broken", "config": {"what": "{{ secrets.token }}"}, "retries": 5},
            {"type": "never"},
            {"type": "exiting", "retries": 1},
            {"type": "exiting thread", "retries": 0},
            {"type": "unknown"},
            {"type": "cancelled"},
            {"type": "mqtt_publish", "config": {"topic": "{{ variables.site }}/x", "payload": "p"}},
            {"type": "http_webhook", "config": {"url": "https://example.com/{{ payload.nobody }}"}},
        ],
        {"kind": "a"},
    )
    assert (tried.executed, tried.skipped) == (["sync", "mqtt_publish"], ["sync"])
    assert tried.failed[:4] == [
        FailedAction(action_type="broken", error="no ***", attempts=6),
        FailedAction(action_type="never", error="never", attempts=1),
        FailedAction(action_type="exiting", error="it exits with 7", attempts=2),
        FailedAction(action_type="exiting thread", error="it exits with no disk", attempts=1),
    ]
    assert [each.action_type for each in tried.failed[4:]] == ["unknown", "cancelled", "http_webhook"]
    assert tried.sent == [MqttMessage(topic="north/x", payload="p")]
    assert calls == [(False, {"kind": "a"})]
    assert (await trial.run([{"type": "sync"}], b"\xff")).executed == ["sync"]


async def test_the_examples(
    control: Control, mosquitto: Broker, topic: str, tmp_path: Path, processes: Processes
) -> None:
    blocks = embedded()
    for number, block in enumerate(blocks):
        compile(block, f"embed.md, block {number}", "exec")
    # The example of a test runs as it stands, with the handler of the Django example.
    invoices = list[Any]()
    actions = Actions()
    actions.register("create_invoice", lambda event, _: invoices.append(event.payload))
    names: dict[str, Any] = {"actions": actions}
    exec(blocks[-1], names)
    await names["test_an_invoice_is_created"]()
    assert invoices == [{"kind": "order", "id": 5, "amount": 10}]
    # The programs run too.
    invoice = {"type": "create_invoice", "config": {"amount": "{{ payload }}"}}
    subscription = Subscription(id=1, name="invoices", topic=f"{topic}/a")
    await control.put(control.snapshot(at(mosquitto), with_actions(subscription, invoice)))
    (tmp_path / "script.py").write_text(blocks[0])
    process = processes.spawn("script", environment=host_environment(control, tmp_path))
    await eventually(lambda: any(h.connected for h in control.heartbeats))
    async with publisher("127.0.0.1", mosquitto.port) as mqtt:
        await mqtt.publish(f"{topic}/a", b"5", qos=1)
        await eventually(lambda: "invoices 5 {'amount': '5'}" in process.output())
    process.kill()

    port = kept.free_port()
    (tmp_path / "web_host.py").write_text(blocks[1].replace("8080", str(port)))
    environment = {**host_environment(control, tmp_path), "PYTHONWARNINGS": "error"}
    process = processes.spawn("web_host", environment=environment)

    async def consuming() -> bool:
        async with ClientSession() as http, http.get(f"http://127.0.0.1:{port}/consuming") as answer:
            return await answer.json()

    await eventually(lambda: "Running on" in process.output())
    await eventually(consuming)
    process.signal(signal.SIGTERM)
    assert await asyncio.to_thread(process.wait, 10)
    assert process.returncode == 0
    await eventually(lambda: control.heartbeats[-1].stopping)


async def test_cancelling_the_host_ends_everything(
    control: Control, mosquitto: Broker, topic: str, tmp_path: Path
) -> None:
    instance = ProductInstance(control.settings(tmp_path))
    started = asyncio.Event()

    @instance.action("slow")
    async def slow(_event: Any, _action: Any) -> None:
        started.set()
        await asyncio.sleep(60)

    async def host() -> None:
        async with instance:
            await instance.run()

    before = asyncio.all_tasks()
    task = asyncio.create_task(host())
    slow_one = with_actions(Subscription(id=1, name="s", topic=f"{topic}/a"), {"type": "slow"})
    await control.put(control.snapshot(at(mosquitto), slow_one))
    await applied(instance, 1)
    async with publisher("127.0.0.1", mosquitto.port) as mqtt:
        await mqtt.publish(f"{topic}/a", b"", qos=1)
        await started.wait()
        # Once, and again while it waits for what is in flight.
        task.cancel()
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    left = [each for each in asyncio.all_tasks() - before if each is not task]
    await eventually(lambda: all(each.done() for each in left))
    # The instance id is free again.
    async with ProductInstance(control.settings(tmp_path)):
        pass


async def test_a_program_without_an_event_loop(
    control: Control, mosquitto: Broker, topic: str, tmp_path: Path
) -> None:
    actions, seen = Actions(), list[Any]()

    @actions.action("note")
    def note(event: Any, _action: Any) -> None:
        seen.append(event.payload)

    subscription = with_actions(Subscription(id=1, name="s", topic=f"{topic}/a"), {"type": "note"})
    await control.put(control.snapshot(at(mosquitto), subscription))
    settings = control.settings(tmp_path)

    def program() -> None:
        with ThreadedInstance(settings, actions=actions) as instance:
            assert not instance.wait(0)
            deadline = threading.Event()
            while not instance.heartbeat().connected:
                deadline.wait(0.02)
            instance.publish(f"{topic}/a", b"5", qos=1)
            while not seen:
                deadline.wait(0.02)
            with pytest.raises(StateInUseError), ThreadedInstance(settings):
                pass
        assert instance.wait()
        with pytest.raises(RuntimeError):
            instance.heartbeat()

    await asyncio.wait_for(asyncio.to_thread(program), 15)
    assert seen == [5]


async def test_two_in_one_process_with_the_same_handlers(
    control: Control, mosquitto: Broker, topic: str, tmp_path: Path
) -> None:
    actions, seen = Actions(), list[str]()

    @actions.action("note")
    async def note(event: Any, _action: Any) -> None:
        seen.append(event.instance_id)

    answer = {"type": "mqtt_publish", "config": {"topic": f"{topic}/out/{{{{ instance_id }}}}"}}
    subscription = Subscription(id=1, name="s", topic=f"{topic}/a")
    one, two = (
        ProductInstance(control.settings(tmp_path, instance_id=name), actions=actions) for name in ("a", "b")
    )
    async with one, two, publisher("127.0.0.1", mosquitto.port) as mqtt:
        await control.put(
            control.snapshot(at(mosquitto), with_actions(subscription, {"type": "note"}, answer))
        )
        await applied(one, 1)
        await applied(two, 1)
        await mqtt.publish(f"{topic}/a", b"", qos=1)
        await eventually(lambda: received(one) == received(two) == 1)
    assert sorted(seen) == ["a", "b"]
    assert one.heartbeat().counters["1"].actions_executed == 2


def wheel_of(source: Path, folder: Path) -> tuple[Path, str]:
    """Build the wheel as pip does: its file, and what the build said."""
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=source,
        check=True,
        capture_output=True,
        text=True,
    )
    (wheel,) = folder.glob("*.whl")
    return wheel, built.stdout + built.stderr


def test_a_fresh_checkout_makes_a_wheel(tmp_path: Path) -> None:
    """Whoever embeds the library needs no dashboard."""
    source = tmp_path / "checkout"
    left_out = shutil.ignore_patterns("static", "__pycache__")
    for name in ("config_service", "status_collector", "product_instance", "shared"):
        shutil.copytree(ROOT / name, source / name, ignore=left_out)
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    wheel, said = wheel_of(source, tmp_path / "wheels")
    assert "make dashboard" in said
    with zipfile.ZipFile(wheel) as archive:
        assert {"product_instance/py.typed", "mqtt_shared/py.typed"} <= set(archive.namelist())


def test_it_lives_beside_a_host_with_a_module_shared_of_its_own(tmp_path: Path) -> None:
    wheel, _ = wheel_of(ROOT, tmp_path / "wheels")
    site, host = tmp_path / "site", tmp_path / "host"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    tops = {path.name for path in site.iterdir() if not path.name.endswith(".dist-info")}
    assert tops == {"config_service", "mqtt_shared", "product_instance", "status_collector"}
    (host / "shared").mkdir(parents=True)
    (host / "shared" / "__init__.py").write_text("OF = 'the host'\n")
    (host / "main.py").write_text(
        "import shared, product_instance, mqtt_shared\n"
        "assert shared.OF == 'the host'\n"
        "print(product_instance.__file__)\n"
    )
    ran = subprocess.run(
        [sys.executable, str(host / "main.py")],
        env={"PYTHONPATH": str(site)},
        check=True,
        capture_output=True,
        text=True,
    )
    assert Path(ran.stdout.strip()).is_relative_to(site)
