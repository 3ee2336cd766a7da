from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from deploy.local import kept

from .cells import Place
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
def record(record_property: Callable[[str, object], None]) -> Callable[[Row], None]:
    """Put a row into the table at the end of the run."""

    def put(row: Row) -> None:
        record_property(PROPERTY, encoded(row))

    return put
