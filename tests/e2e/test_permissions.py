"""Each part does its work with the rights on NATS that docs/reference/events.md gives it, and no others."""

from __future__ import annotations

import json
import re
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploy.local import kept
from deploy.local.nats import Nats
from mqtt_shared import bus
from tests.support.waiting import eventually

from .conftest import System, publish

if TYPE_CHECKING:
    from collections.abc import Iterator

    from deploy.local.process import Guard
    from tests.support.processes import Processes
    from tests.support.servers import Broker

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "events.md"
PASSWORD = secrets.token_urlsafe(12)


class Guarded(Nats):
    """Lets in the parts with their rights, and `owner` with all."""

    users: dict[str, dict[str, Any]]

    def _configuration(self) -> str:
        users = [
            {"user": name, "password": PASSWORD, "permissions": rights}
            for name, rights in {**self.users, "owner": {"publish": ">", "subscribe": ">"}}.items()
        ]
        return super()._configuration() + f"authorization: {json.dumps({'users': users})}\n"

    def url_of(self, user: str) -> str:
        return self.url.replace("//", f"//{user}:{PASSWORD}@")


def rights() -> Iterator[tuple[str, dict[str, list[str]]]]:
    """The rows of the table, for product 1."""
    table = PAGE.read_text().split("## What the parts may do on NATS\n")[1]
    for row in re.findall(r"^\| (\w+)(?: of product 7)? \| (`.*) \| (`.*) \|$", table, re.MULTILINE):
        subjects = [[each.replace(".7", ".1") for each in re.findall("`(.+?)`", cell)] for cell in row[1:]]
        yield row[0], {"publish": subjects[0], "subscribe": subjects[1]}


async def test_the_documented_rights_are_enough_and_the_bucket_is_out_of_an_instances_reach(
    own_database_url: str, tmp_path: Path, guard: Guard, processes: Processes, mosquitto: Broker
) -> None:
    nats = Guarded(tmp_path / "nats", guard, kept.free_port(), tmp_path / "nats.log")
    nats.users = dict(rights())
    assert list(nats.users) == ["config_service", "status_collector", "instance"]
    nats.start()
    try:
        system = System(processes, tmp_path, own_database_url, nats.url, "mqtt")
        system.services["NATS_URL"] = nats.url_of("config_service")
        system.collector_settings["NATS_URL"] = nats.url_of("status_collector")
        await system.start()
        assert system.product["id"] == 1
        topic = f"rights/{secrets.token_hex(4)}"
        await system.call("PUT", system.path, {"broker": {"host": "127.0.0.1", "port": mosquitto.port}})
        action = {"type": "http_webhook", "config": {"url": "http://127.0.0.1:1/"}, "retries": 0}
        body = {"name": "orders", "topic": topic, "actions": [action]}
        await system.call("POST", f"{system.path}/subscriptions", body)
        instance = system.spawn_instance("one", NATS_URL=nats.url_of("instance"))
        await eventually(lambda: system.is_connected("one"), 40, 0.1)
        await publish(mosquitto.port, topic, range(1))

        async def is_counted() -> bool:
            return await system.received("orders") == 1

        await eventually(is_counted)
        assert (await system.call("POST", f"{system.path}/reconnect"))["instances_notified"] == 1
        owner: Any = await bus.connect(nats.url_of("owner"), "owner")
        letters = (await owner.jetstream().stream_info("MQTT_DEAD_LETTERS")).state.messages
        await owner.close()
        assert letters == 1
        assert instance.running
        assert "Violation" not in nats.process.output()
        forbidden = ["$KV.MQTT_CONFIG.1", "mqtt.heartbeat.2.one.b", "mqtt.status.1", "mqtt.command.1"]
        intruder: Any = await bus.connect(nats.url_of("instance"), "intruder")
        for subject in forbidden:
            await intruder.publish(subject, b"{}")
        await intruder.flush()
        await intruder.close()
        for subject in forbidden:
            assert f'Publish Violation - Subject "{subject}"' in nats.process.output()
        assert (await system.call("GET", f"{system.path}/rollout"))["applied"] == 1
    finally:
        nats.kill()
