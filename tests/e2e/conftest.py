"""The whole product as processes: both services, and as many instances as a test wants."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Any

import pytest

from mqtt_shared.messages import Broker
from mqtt_shared.mqtt import Connection
from mqtt_shared.sealing import new_key
from tests.support.processes import Processes, request
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from deploy.local.nats import Nats
    from deploy.local.process import Process


class System:
    """A product on real servers."""

    def __init__(
        self, processes: Processes, directory: Path, database_url: str, nats_url: str, root: str
    ) -> None:
        self._processes = processes
        self.directory = directory
        self.nats_url = nats_url
        self.token = secrets.token_urlsafe(24)
        self.common = {"NATS_URL": nats_url, "NATS_ROOT": root, "LOG_FORMAT": "json"}
        self.services = self.common | {
            "DATABASE_URL": database_url,
            "ADMIN_TOKEN": self.token,
            "MQTT_PASSWORD_ENCRYPTION_KEY": new_key(),
        }
        self.collector_settings = self.common | {"DATABASE_URL": database_url}
        self.product: dict[str, Any] = {}

    async def start(self) -> None:
        """Start config-service and status-collector, and create the product."""
        await self.restart_services()
        self.product = await self.call(
            "POST", "/products", {"name": "shop", "variables": {"application_id": "shop"}}
        )
        self.path = f"/products/{self.product['id']}/mqtt-config"

    async def restart_services(self) -> None:
        """Start config-service and status-collector."""
        await self.start_config_service()
        self.collector = await self.start_collector()

    async def start_config_service(self, **settings: str) -> None:
        """Start config-service; with `HTTP_PORT` at that port."""
        self.config_service, self.port = await self._processes.serve(
            "config_service", environment=self.services | settings
        )

    async def start_collector(self) -> Process:
        """Another status-collector."""
        process, _ = await self._processes.serve("status_collector", environment=self.collector_settings)
        return process

    def spawn_instance(self, name: str, **settings: str) -> Process:
        """Start an instance and do not wait for anything."""
        environment = self.common | {
            "PRODUCT_ID": str(self.product["id"]),
            "PRODUCT_KEY": self.product["product_key"],
            "INSTANCE_ID": name,
            "STATE_DIR": str(self.directory / name),
            "HEARTBEAT_INTERVAL_SECONDS": "0.5",
            "CONFIG_WAIT_SECONDS": "1",
        }
        return self._processes.spawn("product_instance", environment=environment | settings)

    async def start_instance(self, name: str) -> Process:
        """Start an instance and wait until it runs the desired revision, connected."""
        process = self.spawn_instance(name)
        await eventually(lambda: self.is_connected(name))
        return process

    async def is_connected(self, name: str) -> bool:
        """Does the API show this instance live, connected, and at the desired revision?"""
        found = await self.call("GET", f"{self.path}/instances")
        rollout = await self.call("GET", f"{self.path}/rollout")
        return any(
            i["instance_id"] == name
            and i["state"] == "live"
            and i["connected"]
            and i["applied_revision"] == rollout["desired_revision"]
            for i in found["instances"]
        )

    async def call(
        self, method: str, path: str, body: object = None, *, expect: int | None = None, **headers: str
    ) -> Any:
        """One request; fails unless the status is `expect`, or any success."""
        sent = {"Authorization": f"Bearer {self.token}"} | {
            k.replace("_", "-"): v for k, v in headers.items()
        }
        status, answer = await asyncio.to_thread(request, self.port, method, f"/api/v1{path}", body, sent)
        assert status == expect if expect else status < 300, (status, answer)
        return answer

    async def received(self, name: str) -> int:
        """Messages of a subscription, as the API counts them."""
        answer = await self.call("GET", f"{self.path}/subscriptions")
        (found,) = [s for s in answer["subscriptions"] if s["name"] == name]
        return int(found["stats"]["messages_received"])


@pytest.fixture
async def system(
    processes: Processes, tmp_path: Path, database_url: str, nats_server: Nats, nats_root: str
) -> System:
    """Both services running on this worker's servers, with a product and no configuration."""
    system = System(processes, tmp_path, database_url, nats_server.url, nats_root)
    await system.start()
    return system


async def publish(port: int, topic: str, numbers: range) -> None:
    """Publish numbered messages at QoS 1; returns when the broker has them."""
    publisher = Connection(
        Broker(host="127.0.0.1", port=port), client_id=f"p{secrets.token_hex(4)}", on_message=lambda _: None
    )
    await publisher.open()
    for number in numbers:
        await publisher.publish(topic, b'{"number": %d}' % number, qos=1)
    await publisher.close()
