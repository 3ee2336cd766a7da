from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from deploy.local import kept
from mqtt_shared.mqtt import Connection, Message

from .cells import Place
from .load import Sent
from .table import PROPERTY, encoded

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from deploy.local.nats import Nats
    from tests.support.certificates import Certificates
    from tests.support.servers import Servers

    from .table import Row

WHOLE = os.environ.get("FAULTS") == "all"


@pytest.fixture
def place(own_servers: Servers, nats_server: Nats, tls: Certificates, tmp_path: Path) -> Place:
    second_port = kept.free_port()
    broker = own_servers.mosquitto(
        f"listener {second_port} 127.0.0.1",
        "allow_anonymous true",
        passwords={"first": "password-1", "second": "password-2"},
        tls=tls.server,
    )
    return Place(
        nats_url=nats_server.url,
        port=broker.port,
        second_port=second_port,
        tls_port=broker.tls_port,
        ca=tls.ca.read_text(),
        other_port=own_servers.mosquitto().port,
        closed_port=kept.free_port(),
        folder=tmp_path,
    )


@pytest.fixture
def acknowledged(monkeypatch: pytest.MonkeyPatch) -> set[Sent]:
    """What the instances in this process have told a broker to be done."""
    told, ack = set[Sent](), Connection.ack

    def noted(connection: Connection, message: Message) -> bool:
        taken = ack(connection, message)
        if taken:
            told.add(Sent(message.topic, message.payload.decode()))
        return taken

    monkeypatch.setattr(Connection, "ack", noted)
    return told


@pytest.fixture
def record(record_property: Callable[[str, object], None]) -> Callable[[Row], None]:
    """Put a row into the table at the end of the run."""

    def put(row: Row) -> None:
        record_property(PROPERTY, encoded(row))

    return put
