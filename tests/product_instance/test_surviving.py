"""Servers come and go, processes are killed: the instance goes on, and no message of QoS 1 is lost."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import time
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import pytest

from deploy.local import kept
from mqtt_shared.messages import Broker as BrokerSettings
from mqtt_shared.messages import Reconnect, Subscription, Topics, encode
from product_instance import ProductInstance, StateInUseError
from tests.shared.dynsec import PASSWORD, USER, dynamic_security
from tests.support.proxy import TcpProxy
from tests.support.waiting import eventually

from .conftest import (
    PRODUCT,
    Control,
    Impatient,
    applied,
    publisher,
    received,
    rejected,
    with_actions,
)
from .test_following import COLLECT, collect, load

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    from deploy.local.nats import Nats
    from tests.support.certificates import Certificates
    from tests.support.processes import Processes
    from tests.support.servers import Broker


def sub(topic: str, **fields: Any) -> Subscription:
    return Subscription(id=1, name="s1", topic=topic, **fields)


def nowhere() -> str:
    return f"nats://127.0.0.1:{kept.free_port()}"


@pytest.mark.parametrize("persistent", [True, False])
async def test_a_lost_connection_comes_back_with_its_subscriptions(
    persistent: bool, control: Control, mosquitto: Broker, topic: str, tmp_path: Path
) -> None:
    instance = ProductInstance(control.settings(tmp_path), random=Impatient())
    seen = collect(instance)
    async with (
        TcpProxy("127.0.0.1", mosquitto.port) as proxy,
        instance,
        publisher("127.0.0.1", mosquitto.port) as mqtt,
    ):
        broker = BrokerSettings(host="127.0.0.1", port=proxy.port, clean_session=not persistent)
        await control.put(control.snapshot(broker, with_actions(sub(f"{topic}/a"), COLLECT)))
        await applied(instance, 1)
        async with load(mqtt, f"{topic}/a") as numbers:
            for _ in range(2):
                done = len(numbers)
                await eventually(lambda at=done: len(numbers) > at + 20)
                proxy.refuse()
                proxy.cut()
                await eventually(lambda: not instance.heartbeat().connected)
                await eventually(lambda: "refused" in (instance.heartbeat().connection_error or ""))
                await eventually(lambda: any(h.connection_error for h in control.heartbeats[-3:]))
                await proxy.accept()
                await eventually(lambda: instance.heartbeat().connected)
        await mqtt.publish(f"{topic}/a", b"-1", qos=1)
        await eventually(lambda: -1 in seen)
        if persistent:
            # Not one lost. Only acknowledgements that were cut off on their way bring a message twice.
            assert list(dict.fromkeys(seen)) == [*numbers, -1]
            assert len(seen) - len(numbers) < 10
        assert instance.heartbeat().connection_error is None


@contextmanager
def no_room_on_disk() -> Generator[None]:
    """The system refuses each write to a file of this process."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("fault", ["full", "not a folder"])
async def test_without_a_state_dir_it_goes_on_and_says_so(
    fault: str,
    control: Control,
    mosquitto: Broker,
    topic: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder = tmp_path / "state"
    if fault == "not a folder":
        folder.write_text("in the way")
    settings = control.settings(folder)
    at = BrokerSettings(host="127.0.0.1", port=mosquitto.port)
    await control.put(control.snapshot(at, sub(f"{topic}/a")))
    with no_room_on_disk() if fault == "full" else nullcontext():
        instance = ProductInstance(settings)
        async with instance, publisher("127.0.0.1", mosquitto.port) as mqtt:
            await applied(instance, 1)
            await control.put(control.snapshot(at, sub(f"{topic}/b")))
            await applied(instance, 2)
            await mqtt.publish(f"{topic}/b", b"", qos=1)
            await eventually(lambda: received(instance) == 1)
            await eventually(lambda: "cannot write to STATE_DIR" in caplog.text)
    assert "cannot be kept" in caplog.text


async def test_qos_2_is_exactly_once_as_long_as_the_process_lives(
    control: Control, mosquitto: Broker, topic: str, tmp_path: Path
) -> None:
    instance = ProductInstance(control.settings(tmp_path), random=Impatient())
    seen = collect(instance)
    async with (
        TcpProxy("127.0.0.1", mosquitto.port) as proxy,
        instance,
        publisher("127.0.0.1", mosquitto.port) as mqtt,
    ):
        broker = BrokerSettings(host="127.0.0.1", port=proxy.port, clean_session=False)
        topics = Topics(use_shared=False, shared_group=None, qos=2)
        await control.put(control.snapshot(broker, with_actions(sub(f"{topic}/a"), COLLECT), topics=topics))
        await applied(instance, 1)
        async with load(mqtt, f"{topic}/a", qos=2) as numbers:
            for _ in range(4):
                done = len(numbers)
                await eventually(lambda at=done: len(numbers) > at + 20)
                proxy.cut()
                await eventually(lambda: not instance.heartbeat().connected)
                await eventually(lambda: instance.heartbeat().connected)
        await eventually(lambda: len(seen) >= len(numbers))
        assert seen == numbers


async def test_a_broker_that_restarts(
    control: Control, own_mosquitto: Callable[..., Broker], topic: str, tmp_path: Path
) -> None:
    broker = own_mosquitto()
    async with ProductInstance(control.settings(tmp_path), random=Impatient()) as instance:
        at = BrokerSettings(host="127.0.0.1", port=broker.port, clean_session=False)
        await control.put(control.snapshot(at, sub(f"{topic}/a")))
        await applied(instance, 1)
        # Without persistence: the session is gone, and so are its subscriptions.
        broker.restart(kill=True)
        await eventually(lambda: not instance.heartbeat().connected)
        await eventually(lambda: instance.heartbeat().connected)
        async with publisher("127.0.0.1", broker.port) as mqtt:
            await mqtt.publish(f"{topic}/a", b"", qos=1)
            await eventually(lambda: received(instance) == 1)


@pytest.mark.parametrize("answers", [1.5, 2.5], ids=["before CONNACK", "before SUBSCRIBE"])
async def test_a_broker_that_lost_its_sessions_while_the_network_breaks_again(
    answers: float, control: Control, own_mosquitto: Callable[..., Broker], topic: str, tmp_path: Path
) -> None:
    """The session that the next connection finds present is a new one, without subscriptions."""
    broker = own_mosquitto()
    async with (
        TcpProxy("127.0.0.1", broker.port) as proxy,
        ProductInstance(control.settings(tmp_path), random=Impatient()) as instance,
    ):
        at = BrokerSettings(host=proxy.host, port=proxy.port, clean_session=False)
        await control.put(control.snapshot(at, sub(f"{topic}/a")))
        await applied(instance, 1)
        proxy.refuse()
        broker.restart(kill=True)
        await eventually(lambda: not instance.heartbeat().connected)
        accepted, proxy.delay = proxy.accepted, 0.5
        await proxy.accept()
        await eventually(lambda: proxy.accepted > accepted)
        await asyncio.sleep(answers * proxy.delay)
        proxy.cut()
        proxy.delay = 0
        await eventually(lambda: instance.heartbeat().connected)
        async with publisher("127.0.0.1", broker.port) as mqtt:
            await mqtt.publish(f"{topic}/a", b"", qos=1)
            await eventually(lambda: received(instance) == 1)


async def test_without_nats_it_starts_on_its_last_known_good_and_converges_later(
    own_nats: Nats, mosquitto: Broker, topic: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    control = Control(own_nats.url, "mqtt")
    await control.open()
    settings = control.settings(tmp_path, config_wait_seconds=0.2)
    at = BrokerSettings(host="127.0.0.1", port=mosquitto.port, clean_session=False)
    async with ProductInstance(settings) as instance:
        await control.put(control.snapshot(at, sub(f"{topic}/a")), password="secret-of-the-broker")
        await applied(instance, 1)
        first_id = instance.instance_id
    for file in tmp_path.iterdir():
        assert b"secret-of-the-broker" not in file.read_bytes()
        assert file.stat().st_mode & 0o077 == 0
    await control.put(control.snapshot(at, sub(f"{topic}/b")))
    await control.close()
    own_nats.stop()
    async with publisher("127.0.0.1", mosquitto.port) as mqtt:
        with caplog.at_level("INFO"):
            async with ProductInstance(settings) as instance:
                await applied(instance, 1)
                await eventually(lambda: instance.heartbeat().connected)
                assert instance.instance_id == first_id
                await mqtt.publish(f"{topic}/a", b"", qos=1)
                await eventually(lambda: received(instance) == 1)
                assert any(getattr(line, "source", None) == "disk" for line in caplog.records)
                own_nats.start()
                await applied(instance, 2)
                await mqtt.publish(f"{topic}/a", b"", qos=1)
                await mqtt.publish(f"{topic}/b", b"", qos=1)
                await eventually(lambda: received(instance) == 2)


async def test_a_restart_of_nats_while_running(
    own_nats: Nats, mosquitto: Broker, topic: str, tmp_path: Path
) -> None:
    control = Control(own_nats.url, "mqtt")
    await control.open()
    at = BrokerSettings(host="127.0.0.1", port=mosquitto.port)
    async with ProductInstance(control.settings(tmp_path)) as instance:
        await control.put(control.snapshot(at, sub(f"{topic}/a")))
        await applied(instance, 1)
        own_nats.stop()
        async with publisher("127.0.0.1", mosquitto.port) as mqtt:
            await mqtt.publish(f"{topic}/a", b"", qos=1)
            await eventually(lambda: received(instance) == 1)
        own_nats.start()
        before = len(control.heartbeats)
        await eventually(lambda: len(control.heartbeats) > before)
        await control.put(control.snapshot(at, sub(f"{topic}/b")))
        await applied(instance, 2)
    await control.close()


async def test_with_nothing_at_all_it_runs_on_the_environment(
    mosquitto: Broker, topic: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    control = Control(nowhere(), "mqtt")
    settings = control.settings(
        tmp_path,
        config_wait_seconds=0,
        mqtt_host="127.0.0.1",
        mqtt_port=mosquitto.port,
        mqtt_topic_prefix=topic,
        mqtt_use_shared_subscriptions=False,
        application_id="app",
    )
    own = Subscription(id=5, name="own_code", topic="")
    with caplog.at_level("INFO"):
        async with (
            ProductInstance(settings, subscriptions=[own]) as instance,
            publisher("127.0.0.1", mosquitto.port) as mqtt,
        ):
            await eventually(lambda: instance.heartbeat().connected)
            await mqtt.publish(f"{topic}/app/business-events/own-code", b"", qos=1)
            await eventually(lambda: received(instance, 5) == 1)
            assert instance.heartbeat().applied_revision is None
    assert any(getattr(line, "source", None) == "environment" for line in caplog.records)


async def test_a_state_dir_that_cannot_be_used_is_told_and_borne(
    control: Control, mosquitto: Broker, topic: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with caplog.at_level("INFO"):
        async with ProductInstance(control.settings(blocked)) as instance:
            at = BrokerSettings(host="127.0.0.1", port=mosquitto.port)
            await control.put(control.snapshot(at, sub(topic)))
            await applied(instance, 1)
    assert sum("STATE_DIR" in line.message for line in caplog.records) >= 2


async def test_a_damaged_last_known_good_is_told_and_borne(
    control: Control, mosquitto: Broker, topic: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / f"snapshot-{PRODUCT}-one.json").write_bytes(b"{half")
    with caplog.at_level("INFO"):
        async with ProductInstance(control.settings(tmp_path, instance_id="one")) as instance:
            at = BrokerSettings(host="127.0.0.1", port=mosquitto.port)
            await control.put(control.snapshot(at, sub(topic)))
            await applied(instance, 1)
    assert any("last known good" in line.message for line in caplog.records)


async def test_an_instance_that_has_ended_has_kept_its_configuration_on_a_slow_disk(
    control: Control, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_disk = os.fsync

    def slow(descriptor: int) -> None:
        time.sleep(0.5)
        on_disk(descriptor)

    monkeypatch.setattr(os, "fsync", slow)
    async with ProductInstance(control.settings(tmp_path)) as instance:
        await control.put(control.snapshot(None))
        await applied(instance, 1)
    next_run = control.settings(tmp_path, nats_url=nowhere(), config_wait_seconds=0)
    async with ProductInstance(next_run) as instance:
        await applied(instance, 1)


async def test_one_instance_id_runs_once(control: Control, tmp_path: Path) -> None:
    async with ProductInstance(control.settings(tmp_path)):
        with pytest.raises(StateInUseError, match="INSTANCE_ID"):
            ProductInstance(control.settings(tmp_path))
    async with ProductInstance(control.settings(tmp_path)):
        pass


def environment(control: Control, folder: Path, name: str, **changes: str) -> dict[str, str]:
    return {
        "NATS_URL": control.url,
        "NATS_ROOT": control.root,
        "PRODUCT_ID": str(PRODUCT),
        "PRODUCT_KEY": control.key,
        "INSTANCE_ID": name,
        "STATE_DIR": str(folder),
        "HEARTBEAT_INTERVAL_SECONDS": "0.1",
        "LOG_FORMAT": "json",
        **changes,
    }


_SLOW = """
import asyncio, pathlib
def register(actions):
    @actions.action("note")
    async def note(event, action):
        await asyncio.sleep(0.02)
        with open(action["config"]["file"], "a") as file:
            file.write(f"{event.payload}\\n")
"""


async def test_kill_9_with_a_persistent_session_loses_nothing(
    control: Control, mosquitto: Broker, topic: str, tmp_path: Path, processes: Processes
) -> None:
    (tmp_path / "slow_actions.py").write_text(_SLOW)
    notes = tmp_path / "notes"
    notes.touch()
    at = BrokerSettings(host="127.0.0.1", port=mosquitto.port, clean_session=False)
    note = {"type": "note", "config": {"file": str(notes)}}
    topics = Topics(use_shared=True, shared_group="bre")
    await control.put(control.snapshot(at, with_actions(sub(f"{topic}/+"), note), topics=topics))

    async def start(name: str) -> Any:
        settings = environment(
            control, tmp_path / name, f"{topic}-{name}", ACTIONS="slow_actions", PYTHONPATH=str(tmp_path)
        )
        process = processes.spawn("product_instance", environment=settings)
        await eventually(
            lambda: any(h.instance_id == f"{topic}-{name}" and h.connected for h in control.heartbeats),
            timeout=15,
        )
        return process

    one, two = await asyncio.gather(start("one"), start("two"))
    async with publisher("127.0.0.1", mosquitto.port) as mqtt:
        for number in range(60):
            await mqtt.publish(f"{topic}/{number % 3}", str(number).encode(), qos=1)
        one.kill()
        control.heartbeats.clear()
        await start("one")

        def all_noted() -> bool:
            missing = {str(number) for number in range(60)} - set(notes.read_text().split())
            assert not missing
            return True

        await eventually(all_noted)
    two.signal(signal.SIGTERM)
    assert await asyncio.to_thread(two.wait, 10)
    assert two.returncode == 0
    await eventually(lambda: any(h.stopping and h.instance_id.endswith("two") for h in control.heartbeats))


async def test_what_an_earlier_run_had_subscribed_is_unsubscribed(
    control: Control, own_mosquitto: Callable[..., Broker], topic: str, tmp_path: Path
) -> None:
    broker = own_mosquitto("log_type all")
    at = BrokerSettings(host="127.0.0.1", port=broker.port, clean_session=False)
    settings = control.settings(tmp_path, instance_id="one")
    kept = tmp_path / f"snapshot-{PRODUCT}-one.json"

    def unsubscribed() -> str:
        return broker.process.output().partition("Received UNSUBSCRIBE")[2]

    async with ProductInstance(settings) as instance:
        await control.put(control.snapshot(at, sub(f"{topic}/a")))
        await applied(instance, 1)
        await eventually(kept.exists)
        first = kept.read_bytes()
        await control.put(control.snapshot(at, sub(f"{topic}/b")))
        await applied(instance, 2)
        # That of the change from one topic to the other.
        await eventually(lambda: f"{topic}/a" in unsubscribed())
    # As if it had been killed right after the SUBSCRIBE, and the configuration were changed meanwhile.
    kept.write_bytes(first)
    await control.put(control.snapshot(at, sub(f"{topic}/a")))
    async with ProductInstance(settings) as instance:
        await applied(instance, 3)
        await eventually(lambda: f"\t{topic}/b\n" in unsubscribed())
        assert instance.heartbeat().connected


async def test_what_waits_from_an_earlier_run_meets_the_newest_actions(
    control: Control, mosquitto: Broker, topic: str, tmp_path: Path
) -> None:
    """It may be what the earlier run died of."""
    at = BrokerSettings(host="127.0.0.1", port=mosquitto.port, clean_session=False)
    settings = control.settings(tmp_path, instance_id=topic)
    async with ProductInstance(settings) as instance:
        await control.put(control.snapshot(at, with_actions(sub(f"{topic}/a"), {"type": "deadly"})))
        await applied(instance, 1)
    async with publisher("127.0.0.1", mosquitto.port) as mqtt:
        await mqtt.publish(f"{topic}/a", b"1", qos=1)
    await control.put(control.snapshot(at, with_actions(sub(f"{topic}/a"), COLLECT)))
    instance = ProductInstance(settings)
    seen, deaths = collect(instance), list[object]()

    @instance.action("deadly")
    async def deadly(event: Any, _action: Any) -> None:
        deaths.append(event.payload)

    async with instance:
        await eventually(lambda: received(instance) == 1)
    assert (seen, deaths) == ([1], [])


async def test_a_refused_configuration_leaves_what_an_earlier_run_had_subscribed(
    control: Control, own_mosquitto: Callable[..., Broker], topic: str, tmp_path: Path
) -> None:
    """Some brokers forget what waits for a filter that is unsubscribed; none keeps what comes after it."""
    broker = own_mosquitto("log_type all", *dynamic_security(tmp_path, [f"{topic}/a"]))
    at = BrokerSettings(host="127.0.0.1", port=broker.port, clean_session=False, username=USER)
    settings = control.settings(tmp_path / "state")
    async with ProductInstance(settings) as instance:
        await control.put(control.snapshot(at, sub(f"{topic}/a")), password=PASSWORD)
        await applied(instance, 1)
    forbidden = Subscription(id=2, name="s2", topic=f"{topic}/b")
    await control.put(control.snapshot(at, sub(f"{topic}/a"), forbidden), password=PASSWORD)
    async with ProductInstance(settings) as instance:
        await rejected(instance, f"{topic}/b")
        await eventually(lambda: instance.heartbeat().connected)
        assert instance.heartbeat().applied_revision == 1
    unsubscribed = broker.process.output().split("Received UNSUBSCRIBE")[1:]
    assert [f"\t{topic}/b\n" in each for each in unsubscribed] == [True]
    assert not any(f"\t{topic}/a\n" in each.partition("Sending UNSUBACK")[0] for each in unsubscribed)


async def test_sigterm_finishes_what_is_in_flight(
    control: Control, mosquitto: Broker, topic: str, tmp_path: Path
) -> None:
    instance = ProductInstance(control.settings(tmp_path))
    started, done = list[int](), list[int]()

    @instance.action("slow")
    async def slow(event: Any, _action: Any) -> None:
        started.append(event.payload)
        await asyncio.sleep(0.05)
        done.append(event.payload)

    async with publisher("127.0.0.1", mosquitto.port) as mqtt:
        async with instance:
            at = BrokerSettings(host="127.0.0.1", port=mosquitto.port)
            await control.put(control.snapshot(at, with_actions(sub(f"{topic}/a"), {"type": "slow"})))
            await applied(instance, 1)
            for number in range(30):
                await mqtt.publish(f"{topic}/a", str(number).encode(), qos=1)
            await eventually(lambda: started)
        # More than the broker's window of 20: those it still had are done too.
        assert done == list(range(30))
    await eventually(lambda: control.heartbeats[-1].stopping)
    assert control.heartbeats[-1].counters["1"].messages_received == 30


_BLOCKING = """
import time
def register(actions):
    @actions.action("block")
    async def block(event, action):
        print("blocked", flush=True)
        time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_an_action_that_blocks_the_loop_does_not_keep_the_command_from_stopping(
    number: signal.Signals,
    control: Control,
    mosquitto: Broker,
    topic: str,
    tmp_path: Path,
    processes: Processes,
) -> None:
    (tmp_path / "blocking_actions.py").write_text(_BLOCKING)
    at = BrokerSettings(host="127.0.0.1", port=mosquitto.port)
    await control.put(control.snapshot(at, with_actions(sub(f"{topic}/a"), {"type": "block"})))
    settings = environment(
        control,
        tmp_path,
        "one",
        ACTIONS="blocking_actions",
        PYTHONPATH=str(tmp_path),
        DRAIN_TIMEOUT_SECONDS="0.1",
    )
    process = processes.spawn("product_instance", environment=settings)
    await eventually(lambda: any(h.connected for h in control.heartbeats))
    async with publisher("127.0.0.1", mosquitto.port) as mqtt:
        await mqtt.publish(f"{topic}/a", b"", qos=1)
        await eventually(lambda: "blocked" in process.output())
    process.signal(number)
    assert await asyncio.to_thread(process.wait, 20)
    assert process.returncode == 4
    assert "did not stop in time" in process.output()


async def test_the_command_tells_all_faults_of_its_settings(processes: Processes) -> None:
    process = processes.spawn(
        "product_instance",
        environment={
            "INSTANCE_ID": "a.b",
            "PRODUCT_KEY": "short",
            "MQTT_PORT": "0",
            "NATS_ROOT": "Not one",
        },
    )
    assert await asyncio.to_thread(process.wait, 10)
    assert process.returncode == 2
    output = process.output()
    for name in ("PRODUCT_ID", "INSTANCE_ID", "PRODUCT_KEY", "MQTT_PORT", "NATS_ROOT"):
        assert f"{name}: " in output
    assert "short" not in output


async def test_a_certificate_that_is_not_verified_is_told_each_time(
    control: Control,
    own_mosquitto: Callable[..., Broker],
    tls: Certificates,
    topic: str,
    tmp_path: Path,
    processes: Processes,
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker = own_mosquitto(tls=tls.server)
    at = BrokerSettings(host="127.0.0.1", port=broker.tls_port, use_tls=True, verify_cert=False)
    await control.put(control.snapshot(at, sub(f"{topic}/a")))
    async with ProductInstance(control.settings(tmp_path / "state")) as instance:
        await applied(instance, 1)
        await control.command(encode(Reconnect()))
        await eventually(lambda: caplog.text.count("CERTIFICATE IS NOT VERIFIED") == 2)
        assert (instance.heartbeat().broker_info or {})["certificate_verified"] is False
    process = processes.spawn("product_instance", "check", environment=environment(control, tmp_path, "one"))
    assert await asyncio.to_thread(process.wait, 15)
    assert process.returncode == 0
    assert "warning: THE BROKER'S CERTIFICATE IS NOT VERIFIED" in process.output()


async def test_check_and_show_config(
    control: Control, mosquitto: Broker, topic: str, tmp_path: Path, processes: Processes
) -> None:
    async def ends(command: str, **changes: str) -> tuple[int | None, str]:
        settings = environment(control, tmp_path, "one", **changes)
        process = processes.spawn("product_instance", command, environment=settings)
        assert await asyncio.to_thread(process.wait, 15)
        return process.returncode, process.output()

    assert (await ends("check"))[0] == 1
    at = BrokerSettings(host="127.0.0.1", port=mosquitto.port, username="user")
    await control.put(control.snapshot(at, sub(f"{topic}/{{application_id}}")), password="hidden")
    code, output = await ends("check")
    assert code == 1
    assert "{application_id}" in output
    code, output = await ends("check", APPLICATION_ID="app")
    assert code == 0, output
    assert "revision 1 from nats" in output
    code, output = await ends("show-config", APPLICATION_ID="app")
    assert code == 0
    assert f"{topic}/app" in output
    assert "hidden" not in output
    assert "sealed" not in output
    assert not list(tmp_path.glob("snapshot-*"))
    broken: list[dict[str, Any]] = [
        {"type": "of_nobody"},
        {"type": "smtp_email", "config": {"to": "{{ secrets.nobody }}"}},
        {"type": "mqtt_publish", "config": {"topic": "{{ topic"}},
    ]
    await control.put(control.snapshot(at, with_actions(sub(f"{topic}/a"), *broken)))
    code, output = await ends("check")
    assert code == 1
    for words in (
        "action 0: nothing here runs",
        "SMTP_URL",
        "no secret 'nobody'",
        "action 2: config.topic: ",
    ):
        assert words in output
