"""How to connect, over HTTP: MQTT 5, WebSockets, own certificates; and `concurrency` of a subscription."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from mqtt_shared import bus, messages, sealing
from mqtt_shared.messages import Broker as BrokerMessage
from tests.support.servers import execute, fetch_value
from tests.support.waiting import eventually

from .http import Api, serving, settings

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from pathlib import Path

    from deploy.local.nats import Nats
    from tests.support.certificates import Certificates
    from tests.support.servers import Broker

HOST = {"host": "broker.example.com"}


@pytest.fixture
async def api(database_url: str, nats_server: Nats, nats_root: str) -> AsyncGenerator[Api]:
    async with serving(settings(database_url, nats_server.url, nats_root)) as api:
        yield api


@pytest.fixture
def identity(tls: Certificates) -> dict[str, str]:
    return {
        "client_certificate": tls.client.certificate.read_text(),
        "client_key": tls.client.key.read_text(),
    }


async def test_every_field_is_put_and_read(
    api: Api, tls: Certificates, identity: dict[str, str], database_url: str
) -> None:
    path = f"/products/{await api.product()}/mqtt-config"
    given: dict[str, Any] = {
        "use_tls": True,
        "protocol": "5",
        "session_expiry_seconds": 3600,
        "transport": "websockets",
        "websocket_path": "/ws?tenant=a",
        "tls_min_version": "1.3",
        "ca_certificate": tls.ca.read_text(),
        **identity,
    }
    await api.json("PUT", path, {"broker": HOST | given})
    # What is left out, or masked, stays.
    answer = await api.json("PUT", path, {"broker": HOST | {"keep_alive": 30, "client_key": "***"}})
    read = (await api.json("GET", path))["mqtt_config"]["broker"]
    assert read == answer["mqtt_config"]["broker"]
    assert {name: read[name] for name in given} == given | {"client_key": "***"}
    # No key is anywhere but encrypted.
    answers = [
        await (await api.call("GET", each)).text()
        for each in (path, f"{path}/revisions", f"{path}/revisions/1", f"{path}/export")
    ]
    rows = await fetch_value(
        database_url,
        "select string_agg(t, '') from (select c::text as t from mqtt_configs c union all "
        "select r::text from mqtt_config_revisions r) x",
    )
    secret_line = identity["client_key"].splitlines()[1]
    assert not [text for text in (*answers, rows) if secret_line in text]
    # The key goes with its certificate, and comes back with it.
    answer = await api.json("PUT", path, {"broker": HOST | {"client_certificate": None}})
    assert answer["mqtt_config"]["broker"]["client_key"] is None
    assert answer["effect"]["connection"] == "replace"
    diff = await api.json("GET", f"{path}/revisions/3/diff?against=2")
    assert {change["path"][-1] for change in diff["changes"]} == {"client_certificate", "client_key"}
    answer = await api.json("POST", f"{path}/revisions/1/restore")
    assert answer["mqtt_config"]["broker"]["client_key"] == "***"


async def test_the_snapshot_has_the_key_sealed(
    api: Api, nats_server: Nats, nats_root: str, identity: dict[str, str]
) -> None:
    made = await api.json("POST", "/products", {"name": "shop"}, 201)
    path = f"/products/{made['id']}/mqtt-config"
    await api.json("PUT", path, {"broker": HOST | identity | {"use_tls": True, "protocol": "5"}})
    body = {"name": "a", "concurrency": 3}
    await api.json("POST", f"{path}/subscriptions", body, 201)

    async def published() -> bool:
        return (await api.json("GET", f"{path}/rollout"))["published_revision"] == 2

    await eventually(published)
    client: Any = await bus.connect(nats_server.url, "test")
    bucket = await client.jetstream().key_value(f"{nats_root.upper()}_CONFIG")
    raw: bytes = (await bucket.get(str(made["id"]))).value
    await client.close()
    opened = sealing.open_snapshot(raw, made["product_key"])
    assert identity["client_key"].splitlines()[1].encode() not in raw
    assert opened.secrets.client_key == identity["client_key"]
    assert opened.snapshot.broker == BrokerMessage(
        host="broker.example.com",
        use_tls=True,
        protocol="5",
        client_certificate=identity["client_certificate"],
    )
    assert [each.concurrency for each in opened.snapshot.subscriptions] == [3]
    assert messages.decode(raw, messages.Snapshot).sealed


async def test_bad_values_are_told_all_at_once(api: Api, tls: Certificates, identity: dict[str, str]) -> None:
    path = f"/products/{await api.product()}/mqtt-config"
    bad: dict[str, Any] = {
        "protocol": "4",
        "session_expiry_seconds": 2**32,
        "transport": "udp",
        "websocket_path": "mqtt",
        "tls_min_version": "1.1",
        "ca_certificate": "no certificate",
        "client_certificate": identity["client_certificate"] + identity["client_key"],
        "client_key": "-----BEGIN PRIVATE KEY-----\nbm8=\n-----END PRIVATE KEY-----\n",
    }
    found = await api.faults("PUT", path, {"broker": HOST | bad, "topics": {"qos": 3}})
    assert found == {
        "body.broker.protocol": "not_one_of",
        "body.broker.session_expiry_seconds": "too_large",
        "body.broker.transport": "not_one_of",
        "body.broker.websocket_path": "pattern",
        "body.broker.tls_min_version": "not_one_of",
        "body.broker.ca_certificate": "certificates",
        "body.broker.client_certificate": "certificates",
        "body.broker.client_key": "private_key",
        "body.topics.qos": "too_large",
    }


@pytest.mark.parametrize("method", ["PUT", "POST"])
async def test_certificate_and_key_must_fit(
    api: Api, tls: Certificates, identity: dict[str, str], method: str
) -> None:
    base = f"/products/{await api.product()}/mqtt-config"
    path = base if method == "PUT" else f"{base}/test"
    for given, wanted in (
        ({"client_certificate": identity["client_certificate"]}, {"client_key": "missing"}),
        ({"client_key": identity["client_key"]}, {"client_certificate": "missing"}),
        (identity | {"client_key": tls.server.key.read_text()}, {"client_key": "key_mismatch"}),
        (
            {
                "client_certificate": tls.expired.certificate.read_text(),
                "client_key": tls.expired.key.read_text(),
                "ca_certificate": tls.expired.certificate.read_text().split("\n\n")[0],
            },
            {"client_certificate": "expired"},
        ),
    ):
        found = await api.faults(method, path, {"broker": HOST | given})
        names = {name.removeprefix("body.broker."): kind for name, kind in found.items()}
        assert names | wanted == names, given.keys()


async def test_a_stored_key_must_fit_a_new_certificate(
    api: Api, tls: Certificates, identity: dict[str, str]
) -> None:
    path = f"/products/{await api.product()}/mqtt-config"
    await api.json("PUT", path, {"broker": HOST | identity})
    body = {"broker": HOST | {"client_certificate": tls.server.certificate.read_text()}}
    assert await api.faults("PUT", path, body) == {"body.broker.client_key": "key_mismatch"}
    assert await api.faults("PUT", path, {"broker": HOST | {"client_key": None}}) == {
        "body.broker.client_key": "missing"
    }


async def test_a_certificate_that_has_expired_since_stops_nothing(
    api: Api, database_url: str, tls: Certificates, identity: dict[str, str]
) -> None:
    path = f"/products/{await api.product()}/mqtt-config"
    await api.json("PUT", path, {"broker": HOST | identity | {"use_tls": True}})
    expired = tls.expired.certificate.read_text()
    set_to = f"client_certificate = '{expired}', updated_at = now()"
    execute(database_url, f"update mqtt_configs set {set_to}")
    answer = await api.json("PUT", path, {"broker": HOST | {"keep_alive": 30}})
    assert ("client_certificate", "expired") in [
        (warning["loc"][-1], warning["type"]) for warning in answer["warnings"]
    ]


async def test_warnings(api: Api, tls: Certificates, identity: dict[str, str]) -> None:
    path = f"/products/{await api.product()}/mqtt-config"
    given = {"clean_session": False, "protocol": "5", "session_expiry_seconds": 0, **identity}
    answer = await api.json("PUT", path, {"broker": HOST | given})
    assert {warning["type"] for warning in answer["warnings"]} == {"session_expiry", "tls_off"}
    answer = await api.json("PUT", path, {"broker": HOST | {"use_tls": True, "verify_cert": False}})
    assert {warning["type"] for warning in answer["warnings"]} == {"session_expiry", "tls_unverified"}


async def test_concurrency(api: Api) -> None:
    path = f"/products/{await api.configured()}/mqtt-config/subscriptions"
    made = await api.json("POST", path, {"name": "a"}, 201)
    assert made["concurrency"] == 16
    answer = await api.json("PUT", f"{path}/{made['id']}", {"concurrency": 1})
    assert answer["subscription"]["concurrency"] == 1
    assert answer["effect"]["connection"] == "keep"
    assert (await api.json("GET", path))["subscriptions"][0]["concurrency"] == 1
    assert await api.faults("PUT", f"{path}/{made['id']}", {"concurrency": 0}) == {
        "body.concurrency": "too_small"
    }


async def test_an_import_keeps_the_key_or_asks_for_it(api: Api, identity: dict[str, str]) -> None:
    path = f"/products/{await api.product()}/mqtt-config"
    await api.json("PUT", path, {"broker": HOST | identity | {"transport": "websockets"}})
    export = await api.json("GET", f"{path}/export")
    answer = await api.json("POST", f"{path}/import", export)
    assert answer["revision"] == 1
    other = f"/products/{await api.product('other')}/mqtt-config/import"
    assert await api.faults("POST", other, export) == {"body.broker.client_key": "missing"}
    export["broker"]["client_key"] = identity["client_key"]
    imported = (await api.json("POST", other, export))["mqtt_config"]["broker"]
    assert (imported["client_key"], imported["transport"]) == ("***", "websockets")


@pytest.mark.parametrize(
    "change",
    [
        "protocol = '4'",
        "session_expiry_seconds = -1",
        "transport = 'udp'",
        "websocket_path = 'mqtt'",
        "tls_min_version = '1.1'",
        "ca_certificate = 'none'",
        "client_key = 'without a certificate'",
    ],
)
async def test_the_database_has_the_same_rules(api: Api, database_url: str, change: str) -> None:
    await api.configured()
    with pytest.raises(asyncpg.CheckViolationError):
        execute(database_url, f"update mqtt_configs set {change}")


# --- The connection test


async def test_the_connection_test_uses_them(
    api: Api, own_mosquitto: Callable[..., Broker], tls: Certificates, identity: dict[str, str]
) -> None:
    server = own_mosquitto(tls=tls.server, client_ca=tls.ca)
    path = f"/products/{await api.product()}/mqtt-config"
    broker: dict[str, Any] = {
        "host": "localhost",
        "port": server.tls_port,
        "use_tls": True,
        "ca_certificate": tls.ca.read_text(),
        "protocol": "5",
        **identity,
    }
    tried = await api.json("POST", f"{path}/test", {"broker": broker})
    assert (tried["status"], tried["broker_info"]["protocol"]) == ("success", "MQTT 5"), tried
    without = await api.json(
        "POST", f"{path}/test", {"broker": broker | {"client_certificate": None, "client_key": None}}
    )
    assert without["status"] == "error"
    # What is stored goes along to where it is stored for, and nowhere else.
    await api.json("PUT", path, {"broker": broker})
    assert (await api.json("POST", f"{path}/test"))["status"] == "success"
    body: dict[str, Any] = {"broker": broker | {"host": "127.0.0.1", "client_key": "***"}}
    assert await api.faults("POST", f"{path}/test", body) == {"body.broker.client_key": "missing"}
    elsewhere = await api.json("POST", f"{path}/test", {"broker": {"host": "127.0.0.1"}})
    assert elsewhere["status"] == "error"


async def test_the_connection_test_speaks_websockets(
    api: Api, own_mosquitto: Callable[..., Broker], tmp_path: Path
) -> None:
    from deploy.local import kept

    port = kept.free_port()
    own_mosquitto(f"listener {port} 127.0.0.1", "protocol websockets")
    path = f"/products/{await api.product()}/mqtt-config/test"
    broker = {"host": "127.0.0.1", "port": port, "transport": "websockets"}
    assert (await api.json("POST", path, {"broker": broker}))["status"] == "success"
    assert (await api.json("POST", path, {"broker": broker | {"transport": "tcp"}}))["status"] == "error"
