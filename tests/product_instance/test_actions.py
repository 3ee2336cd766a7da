"""The actions of messages: what is sent, tried again, given up, kept; and what a stuck one does to others."""

from __future__ import annotations

import asyncio
import json
import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from aiohttp import web
from aiosmtpd.smtp import SMTP

from deploy.local import kept
from mqtt_shared.messages import Broker as BrokerSettings
from mqtt_shared.messages import DeadLetter, Subscription, decode
from mqtt_shared.sealing import Secrets, seal_snapshot
from product_instance import PermanentActionError, ProductInstance
from tests.support.waiting import eventually

from .conftest import Control, applied, publisher, received, with_actions

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from pathlib import Path

    import pytest

    from deploy.local.nats import Nats
    from tests.support.servers import Broker

SECRET = "made-up-secret/ü"
ONCE = {"retries": 0}
QUICK = {"retry_backoff_seconds": 0.1}


def at(mosquitto: Broker, **changes: Any) -> BrokerSettings:
    return BrokerSettings(host="127.0.0.1", port=mosquitto.port, **changes)


def sub(subscription_id: int, topic: str, *actions: dict[str, Any], **fields: Any) -> Subscription:
    made = Subscription(id=subscription_id, name=f"s{subscription_id}", topic=topic, **fields)
    return with_actions(made, *actions)


class Endpoint:
    """An HTTP server that answers with the statuses in `answers`, then with 200."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str], str]] = []
        self.answers: list[web.Response] = []
        self.url = ""

    async def handle(self, request: web.Request) -> web.Response:
        self.requests.append((request.path, dict(request.headers), await request.text()))
        return self.answers.pop(0) if self.answers else web.Response()


@asynccontextmanager
async def endpoint() -> AsyncGenerator[Endpoint]:
    made, app = Endpoint(), web.Application()
    app.router.add_route("*", "/{path:.*}", made.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port := kept.free_port())
    await site.start()
    made.url = f"http://127.0.0.1:{port}"
    try:
        yield made
    finally:
        await runner.cleanup()


async def letters(control: Control) -> list[DeadLetter]:
    """The dead letters in the stream."""
    found = await control.stored(control.subjects.dead_letter_stream)
    return [decode(data, DeadLetter) for data in found]


async def test_webhooks(control: Control, mosquitto: Broker, topic: str, tmp_path: Path) -> None:
    instance = ProductInstance(control.settings(tmp_path))
    async with endpoint() as server, publisher("127.0.0.1", mosquitto.port) as mqtt, instance:
        hook = {
            "type": "http_webhook",
            "conditions": {"kind": "a"},
            "config": {
                "url": f"{server.url}/{{{{ payload.id }}}}/{{{{ variables.site }}}}",
                "headers": {"Authorization": "Bearer {{ secrets.token }}"},
            },
            **QUICK,
        }
        snapshot = control.snapshot(at(mosquitto), sub(1, f"{topic}/a", hook), variables={"site": "north"})
        await control.put_raw(seal_snapshot(snapshot, Secrets(named={"token": "made-up-token"}), control.key))
        await applied(instance, 1)
        server.answers = [web.Response(status=503), web.Response(status=429)]
        await mqtt.publish(f"{topic}/a", json.dumps({"id": 5, "kind": "a"}).encode(), qos=1)
        await mqtt.publish(f"{topic}/a", json.dumps({"id": 6, "kind": "b"}).encode(), qos=1)
        await eventually(lambda: received(instance) == 2)
        counters = instance.heartbeat().counters["1"]
        assert (counters.actions_executed, counters.actions_failed) == (1, 0)
        assert counters.latency[-1] == 2
        assert [path for path, _, _ in server.requests] == ["/5/north"] * 3
        headers, body = server.requests[0][1], json.loads(server.requests[0][2])
        assert headers["Authorization"] == "Bearer made-up-token"
        assert {h["Idempotency-Key"] for _, h, _ in server.requests} == {body["message_id"]}
        assert (body["payload"], body["subscription"]) == ({"id": 5, "kind": "a"}, "s1")


async def test_what_fails_for_good_becomes_a_dead_letter_without_secrets(
    control: Control, mosquitto: Broker, topic: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    instance = ProductInstance(control.settings(tmp_path))
    ran = list[str]()

    @instance.action("leaky")
    async def leaky(_event: Any, action: Any) -> None:
        raise RuntimeError(f"cannot use {action['config']['token']}")

    @instance.action("hopeless")
    async def hopeless(_event: Any, _action: Any) -> None:
        ran.append("hopeless")
        raise PermanentActionError("never \udcff")

    class MuteError(PermanentActionError):
        def __str__(self) -> str:
            raise RuntimeError

    @instance.action("mute")
    async def mute(_event: Any, _action: Any) -> None:
        raise MuteError

    @instance.action("last")
    def last(_event: Any, _action: Any) -> None:
        ran.append("last")

    async with endpoint() as server, publisher("127.0.0.1", mosquitto.port) as mqtt, instance:
        header = {"Authorization": "{{ secrets.token }}"}
        actions: list[dict[str, Any]] = [
            {"type": "leaky", "config": {"token": "{{ secrets.token }}"}, "retries": 2, **QUICK},
            {"type": "hopeless", **QUICK},
            {"type": "http_webhook", "config": {"url": f"{server.url}/moved", "headers": header}, **QUICK},
            {"type": "http_webhook", "config": {"url": "{{ payload.nobody }}"}, **QUICK},
            {"type": "slow", "timeout_seconds": 0.1, "retries": 0},
            {"type": "nobody_has_this", **QUICK},
            {"type": "mute"},
            {"type": "last"},
        ]

        @instance.action("slow")
        async def slow(_event: Any, _action: Any) -> None:
            await asyncio.sleep(60)

        snapshot = control.snapshot(at(mosquitto), sub(1, f"{topic}/a", *actions))
        await control.put_raw(seal_snapshot(snapshot, Secrets(named={"token": SECRET}), control.key))
        await applied(instance, 1)
        server.answers = [web.Response(status=302, headers={"Location": f"{server.url}/stolen"})]
        await mqtt.publish(f"{topic}/a", b'{"x": 1}', qos=1)
        await eventually(lambda: received(instance) == 1)
        counters = instance.heartbeat().counters["1"]
        assert (counters.actions_executed, counters.actions_failed) == (1, 7)
        assert ran == ["hopeless", "last"]
        assert [path for path, _, _ in server.requests] == ["/moved"]
        found = await letters(control)
        assert [(each.action, each.action_type, each.attempts) for each in found] == [
            (0, "leaky", 3),
            (1, "hopeless", 1),
            (2, "http_webhook", 1),
            (3, "http_webhook", 1),
            (4, "slow", 1),
            (5, "nobody_has_this", 1),
            (6, "mute", 1),
        ]
        assert (found[1].error, found[6].error) == ("never ?", "MuteError")
        assert found[0].error == "cannot use ***"
        assert "redirects are not followed" in found[2].error
        assert "payload.nobody is undefined" in found[3].error
        assert found[4].error == "took longer than 0.1 s"
        assert SECRET not in caplog.text


async def test_mails(control: Control, mosquitto: Broker, topic: str, tmp_path: Path) -> None:
    mails = list[Any]()

    class Handler:
        async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
            mails.append(envelope)
            return "250 OK"

    loop, port = asyncio.get_running_loop(), kept.free_port()
    server = await loop.create_server(lambda: SMTP(Handler(), hostname="127.0.0.1"), "127.0.0.1", port)
    settings = control.settings(
        tmp_path, smtp_url=f"smtp://127.0.0.1:{port}", smtp_from="Control <control@example.com>"
    )
    async with ProductInstance(settings) as instance, publisher("127.0.0.1", mosquitto.port) as mqtt:
        mail = {
            "type": "smtp_email",
            "config": {
                "to": ["one@example.com", "two@example.com"],
                "subject": "Alarm: {{ payload.text }}",
                "body": "{% for tag in payload.tags %}{{ tag }};{% endfor %}",
            },
        }
        await control.put(control.snapshot(at(mosquitto), sub(1, f"{topic}/a", mail)))
        await applied(instance, 1)
        content = {"text": "two\r\nBcc: three@example.com", "tags": ["a", "ü"]}
        await mqtt.publish(f"{topic}/a", json.dumps(content).encode(), qos=1)
        await eventually(lambda: received(instance) == 1)
        assert instance.heartbeat().counters["1"].actions_failed == 0
    server.close()
    assert mails[0].rcpt_tos == ["one@example.com", "two@example.com"]
    text = mails[0].content.decode()
    assert "Subject: Alarm: two  Bcc: three@example.com\r\n" in text
    assert "@example.com>\r\n" in text.partition("Message-ID: ")[2]
    assert "\r\nBcc" not in text


async def test_a_stuck_action_holds_up_neither_others_nor_heartbeats(
    control: Control, mosquitto: Broker, topic: str, tmp_path: Path
) -> None:
    instance = ProductInstance(control.settings(tmp_path, drain_timeout_seconds=0.2))
    over = threading.Event()

    @instance.action("stuck")
    async def stuck(_event: Any, _action: Any) -> None:
        await asyncio.Event().wait()

    @instance.action("stuck_thread")
    def stuck_thread(_event: Any, _action: Any) -> None:
        over.wait(60)

    @instance.action("thread")
    def thread(_event: Any, _action: Any) -> None:
        pass

    async with publisher("127.0.0.1", mosquitto.port) as mqtt:
        async with instance:
            await control.put(
                control.snapshot(
                    at(mosquitto),
                    sub(1, f"{topic}/stuck/+", {"type": "stuck"}),
                    sub(
                        2,
                        f"{topic}/threads/+",
                        {"type": "stuck_thread", "timeout_seconds": 0.1, "retries": 0},
                    ),
                    sub(3, f"{topic}/good", {"type": "thread"}),
                )
            )
            await applied(instance, 1)
            for number in range(10):
                await mqtt.publish(f"{topic}/stuck/{number}", b"", qos=1)
            for number in range(40):
                await mqtt.publish(f"{topic}/threads/{number}", b"", qos=1)
            await asyncio.sleep(0.5)
            heard = len(control.heartbeats)
            for number in range(100):
                await mqtt.publish(f"{topic}/good", str(number).encode(), qos=1)
            # More than fits into the broker's window beside what is stuck.
            await eventually(lambda: received(instance, 3) == 100)
            await eventually(lambda: len(control.heartbeats) >= heard + 3)
            assert received(instance, 1) == 0
        over.set()


async def test_with_mqtt_5_hundreds_that_are_stuck_hold_up_nobody(
    control: Control, mosquitto: Broker, topic: str, tmp_path: Path
) -> None:
    """Mosquitto would stop at 20 without an acknowledgement: the instance has it send more."""
    instance = ProductInstance(control.settings(tmp_path, drain_timeout_seconds=0.1))

    @instance.action("stuck")
    async def stuck(_event: Any, _action: Any) -> None:
        await asyncio.Event().wait()

    async with instance, publisher("127.0.0.1", mosquitto.port) as mqtt:
        subscriptions = sub(1, f"{topic}/stuck/+", {"type": "stuck"}), sub(2, f"{topic}/good")
        await control.put(control.snapshot(at(mosquitto, protocol="5"), *subscriptions))
        await applied(instance, 1)
        await asyncio.gather(*(mqtt.publish(f"{topic}/stuck/{n % 50}", b"", qos=1) for n in range(500)))
        await mqtt.publish(f"{topic}/good", b"", qos=1)
        await eventually(lambda: received(instance, 2) == 1)
        assert received(instance, 1) == 0


async def test_a_service_that_is_down_does_not_hold_up_others(
    control: Control, mosquitto: Broker, topic: str, tmp_path: Path
) -> None:
    """Retries give way once many messages of the subscription wait for seconds."""
    url = f"http://127.0.0.1:{kept.free_port()}"
    instance = ProductInstance(control.settings(tmp_path, drain_timeout_seconds=0.1))
    async with instance, publisher("127.0.0.1", mosquitto.port) as mqtt:
        down = {"type": "http_webhook", "config": {"url": url}, "retries": 20, "retry_backoff_seconds": 2}
        await control.put(
            control.snapshot(at(mosquitto), sub(1, f"{topic}/down", down), sub(2, f"{topic}/good"))
        )
        await applied(instance, 1)
        for _ in range(60):
            await mqtt.publish(f"{topic}/down", b"", qos=1)
        await mqtt.publish(f"{topic}/good", b"", qos=1)
        await eventually(lambda: received(instance, 2) == 1)


async def test_a_stuck_topic_does_not_hold_up_others_for_ever(
    control: Control, mosquitto: Broker, topic: str, tmp_path: Path
) -> None:
    """The breaker opens: most of what waits becomes dead letters untried."""
    instance = ProductInstance(control.settings(tmp_path, drain_timeout_seconds=0.1))

    @instance.action("stuck")
    async def stuck(_event: Any, _action: Any) -> None:
        await asyncio.Event().wait()

    async with instance, publisher("127.0.0.1", mosquitto.port) as mqtt:
        action = {"type": "stuck", "timeout_seconds": 1.5, "retries": 0}
        await control.put(
            control.snapshot(at(mosquitto), sub(1, f"{topic}/stuck", action), sub(2, f"{topic}/good"))
        )
        await applied(instance, 1)
        for _ in range(60):
            await mqtt.publish(f"{topic}/stuck", b"", qos=1)
        await mqtt.publish(f"{topic}/good", b"", qos=1)
        await eventually(lambda: received(instance, 2) == 1)

        async def most_are_untried() -> bool:
            attempts = [each.attempts for each in await letters(control)]
            return attempts[0] == 1 and attempts.count(0) > 20

        await eventually(most_are_untried)


async def test_answers_are_read_however_many_messages_are_in_flight(
    control: Control, own_mosquitto: Callable[..., Broker], topic: str, tmp_path: Path
) -> None:
    """The work on each message waits for the broker's answer, which comes behind all of them."""
    broker, count = own_mosquitto("max_inflight_messages 0", "max_queued_messages 0"), 6000
    forward = {"type": "mqtt_publish", "config": {"topic": f"{topic}/out", "payload": ""}, **QUICK}
    lasting = BrokerSettings(host="127.0.0.1", port=broker.port, clean_session=False)
    await control.put(control.snapshot(lasting, sub(1, f"{topic}/a/+", forward)))
    async with ProductInstance(control.settings(tmp_path)) as instance:
        await applied(instance, 1)
    async with publisher("127.0.0.1", broker.port) as mqtt:
        for start in range(0, count, 100):
            await asyncio.gather(
                *(mqtt.publish(f"{topic}/a/{at % 50}", b"x", qos=1) for at in range(start, start + 100))
            )
    async with ProductInstance(control.settings(tmp_path)) as instance:
        await eventually(lambda: received(instance) == count, 30)
        counters = instance.heartbeat().counters["1"]
        assert (counters.actions_executed, counters.actions_failed) == (count, 0)


async def test_dead_letters_wait_for_nats(
    own_nats: Nats, mosquitto: Broker, topic: str, tmp_path: Path
) -> None:
    control = Control(own_nats.url, "mqtt")
    await control.open()
    instance = ProductInstance(control.settings(tmp_path))

    @instance.action("broken")
    async def broken(_event: Any, _action: Any) -> None:
        raise RuntimeError("broken")

    async with publisher("127.0.0.1", mosquitto.port) as mqtt, instance:
        broken_one = {"type": "broken", "retries": 0}
        await control.put(
            control.snapshot(at(mosquitto), sub(1, f"{topic}/a", broken_one), sub(2, f"{topic}/b"))
        )
        await applied(instance, 1)
        own_nats.stop()
        await mqtt.publish(f"{topic}/a", b"1", qos=1)
        await mqtt.publish(f"{topic}/b", b"1", qos=1)
        await eventually(lambda: received(instance, 2) == 1)
        await asyncio.sleep(0.3)
        assert received(instance, 1) == 0
        own_nats.start()
        await eventually(lambda: received(instance, 1) == 1)
        assert [each.error for each in await letters(control)] == ["broken"]
    await control.close()


async def test_concurrency_and_order(
    control: Control, mosquitto: Broker, topic: str, tmp_path: Path, folder: Callable[[str], Path]
) -> None:
    del folder
    instance = ProductInstance(control.settings(tmp_path))
    running, most = set[str](), 0
    seen = dict[str, list[int]]()

    @instance.action("watch")
    async def watch(event: Any, _action: Any) -> None:
        nonlocal most
        assert event.topic not in running
        running.add(event.topic)
        most = max(most, len(running))
        await asyncio.sleep(0.005)
        running.discard(event.topic)
        seen.setdefault(event.topic, []).append(event.payload)

    async with instance, publisher("127.0.0.1", mosquitto.port) as mqtt:
        await control.put(
            control.snapshot(at(mosquitto), sub(1, f"{topic}/+", {"type": "watch"}, concurrency=3))
        )
        await applied(instance, 1)
        for number in range(60):
            await mqtt.publish(f"{topic}/{number % 6}", str(number).encode(), qos=1)
        await eventually(lambda: received(instance) == 60)
        assert most == 3
        assert all(numbers == sorted(numbers) for numbers in seen.values())
        assert instance.heartbeat().counters["1"].actions_failed == 0
