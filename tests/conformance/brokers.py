"""The brokers that the checks run against."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct, structs

from deploy.local import kept
from deploy.local.broker import mosquitto_program
from deploy.local.nats import Nats
from mqtt_shared.messages import Broker
from mqtt_shared.mqtt import Connection, Message
from tests.shared.dynsec import PASSWORD, USER, dynamic_security
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator, Mapping

    from deploy.local.process import Guard
    from tests.support.certificates import Certificates
    from tests.support.servers import Servers

ALLOWED, FORBIDDEN = "allowed", "forbidden"


class Server(Struct, kw_only=True):
    """A broker, and where it offers what. What is null was not set up and is not checked."""

    name: str
    host: str
    port: int
    tls_port: int | None = None
    ca: str | None = None
    websocket_port: int | None = None
    strict_port: int | None = None
    """Lets `user` in, and only to `ALLOWED`."""
    nats_url: str | None = None
    """Of a NATS server that hands a whole instance its configuration."""
    folder: Path | None = None
    user: str = USER
    password: str = PASSWORD

    def broker(self, **fields: Any) -> Broker:
        """Settings for it."""
        return structs.replace(Broker(host=self.host, port=self.port), **fields)


class Client:
    """A connection and what came on it."""

    def __init__(self, broker: Broker, client_id: str, *, acks: bool, password: str | None) -> None:
        self.messages: list[Message] = []
        self.connection = Connection(
            broker,
            client_id=client_id,
            password=password,
            on_message=self._received,
            connect_timeout_seconds=5,
        )
        self._acks = acks

    def _received(self, message: Message) -> None:
        self.messages.append(message)
        if self._acks:
            self.connection.ack(message)

    @property
    def payloads(self) -> list[bytes]:
        """In the order of receipt."""
        return [message.payload for message in self.messages]

    async def got(self, *payloads: bytes, timeout: float = 3) -> None:
        """Wait until these are there, and nothing else."""

        def check() -> bool:
            assert self.payloads == list(payloads)
            return True

        await eventually(check, timeout)


@asynccontextmanager
async def client(
    broker: Broker,
    client_id: str,
    filters: Mapping[str, int] | None = None,
    *,
    acks: bool = True,
    password: str | None = None,
) -> AsyncGenerator[Client]:
    """Connected and subscribed."""
    made = Client(broker, client_id, acks=acks, password=password)
    await made.connection.open()
    try:
        if filters:
            await made.connection.subscribe(filters)
        yield made
    finally:
        await made.connection.close()


def mosquitto(servers: Servers, tls: Certificates) -> Server | None:
    """Mosquitto with everything set up; null where it is not installed."""
    if mosquitto_program() is None:
        return None
    websocket_port = kept.free_port()
    open_to_all = servers.mosquitto(
        f"listener {websocket_port} 127.0.0.1", "protocol websockets", tls=tls.server
    )
    strict = servers.mosquitto(*dynamic_security(servers.base, [ALLOWED]), passwords={})
    return Server(
        name="Mosquitto",
        host="127.0.0.1",
        port=open_to_all.port,
        tls_port=open_to_all.tls_port,
        ca=tls.ca.read_text(),
        websocket_port=websocket_port,
        strict_port=strict.port,
    )


class _Nats(Nats):
    """With more in its configuration."""

    mqtt_block: str = ""
    more: str = ""

    def _configuration(self) -> str:
        base = super()._configuration()
        return base.replace("mqtt {", f"mqtt {{ {self.mqtt_block}", 1) + self.more


@contextmanager
def nats(folder: Path, guard: Guard, tls: Certificates) -> Generator[Server]:
    """The MQTT listener of nats-server with everything set up."""
    ports = [kept.free_port() for _ in range(5)]
    plain = _Nats(folder / "plain", guard, ports[0], folder / "plain.log", mqtt_port=ports[1])
    plain.more = f'websocket {{ listen: "127.0.0.1:{ports[2]}", no_tls: true }}\n'
    strict = _Nats(folder / "strict", guard, ports[3], folder / "strict.log", mqtt_port=ports[4])
    files = {"cert_file": str(tls.server.certificate), "key_file": str(tls.server.key)}
    words = ", ".join(f"{name}: {json.dumps(value)}" for name, value in files.items())
    strict.mqtt_block = f"tls {{ {words} }},"
    strict.more = (
        f"authorization {{ users: [{{ user: {USER}, password: {json.dumps(PASSWORD)}, "
        f"permissions: {{ subscribe: {{ deny: {FORBIDDEN} }} }} }}] }}\n"
    )
    try:
        plain.start()
        strict.start()
        yield Server(
            name="NATS",
            host="127.0.0.1",
            port=ports[1],
            tls_port=ports[4],
            ca=tls.ca.read_text(),
            websocket_port=ports[2],
            strict_port=ports[4],
        )
    finally:
        plain.kill()
        strict.kill()
