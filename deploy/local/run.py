"""The whole product on this machine, with a sample product when DEMO is not 0."""

from __future__ import annotations

import http.client
import json
import os
import secrets
import sys
from typing import TYPE_CHECKING, Any

from cryptography.fernet import Fernet

from mqtt_shared.sealing import key_id

from . import kept
from .login import collector_url
from .process import LocalError, Process, StartError
from .publish import NAMES
from .stack import Stack

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["run"]


def run(directory: Path) -> None:
    """Servers, services and demo, until stopped.

    Raises:
        LocalError: something cannot start, or ended by itself.
    """
    port = _port(os.environ.get("HTTP_PORT") or "8004")
    if not kept.is_free(port):
        raise LocalError(f"port {port} is taken: stop what listens there, or set HTTP_PORT to another")
    with Stack(directory) as stack:
        token = _start_services(stack, port)
        if os.environ.get("DEMO") != "0":
            _start_demo(stack, Api(port, token))
        _tell(stack, port, token)
        stack.watch()


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 65535):
        raise LocalError(f"HTTP_PORT is {text!r}: set it to a port, 1 to 65535")
    return int(text)


class Api:
    """The REST API of the service just started."""

    def __init__(self, port: int, token: str) -> None:
        self._port = port
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def call(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Status and answer of one request."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        try:
            sent = None if body is None else json.dumps(body)
            connection.request(method, f"/api/v1{path}", sent, self._headers)
            answer = connection.getresponse()
            text = answer.read()
            return answer.status, json.loads(text) if text else None
        finally:
            connection.close()

    def need(self, method: str, path: str, body: object = None) -> Any:
        """The answer of a request that must succeed."""
        status, answer = self.call(method, path, body)
        if status >= 400:
            raise LocalError(f"the demo could not be set up: {method} {path} answered {status}: {answer}")
        return answer


def _start_services(stack: Stack, port: int) -> str:
    token = kept.secret(stack.directory / "admin-token", lambda: secrets.token_urlsafe(24))
    key = kept.secret(stack.directory / "encryption-key", lambda: Fernet.generate_key().decode())
    collector_port = kept.free_port()
    common = _inherited() | stack.environment() | {"HTTP_HOST": "127.0.0.1"}
    for name in ("MQTT_HOST", "MQTT_PORT"):
        common.pop(name)
    service = common | {"ADMIN_TOKEN": token, "MQTT_PASSWORD_ENCRYPTION_KEY": key, "HTTP_PORT": str(port)}
    _migrate(stack, service)
    _start(stack, "config-service", ["config_service"], service, port)
    password = kept.secret(stack.directory / "collector-password", lambda: secrets.token_urlsafe(24))
    collector = common | {
        "DATABASE_URL": collector_url(stack.postgres.url(), password),
        "HTTP_PORT": str(collector_port),
    }
    _start(stack, "status-collector", ["status_collector"], collector, collector_port)
    return token


def _migrate(stack: Stack, environment: dict[str, str]) -> None:
    process = _process(stack, "migrate", ["config_service", "migrate"], environment)
    process.start()
    if not process.wait(60):
        process.kill()
    if process.returncode != 0:
        raise StartError("the tables could not be made:\n  " + "\n  ".join(process.last_lines()))


def _start(
    stack: Stack, name: str, module: list[str], environment: dict[str, str], port: int | None = None
) -> None:
    process = _process(stack, name, module, environment)
    process.start((lambda: _is_ready(port)) if port else None)
    stack.add(process)


def _process(stack: Stack, name: str, module: list[str], environment: dict[str, str]) -> Process:
    log = stack.logs / f"{name}.log"
    return Process(name, [sys.executable, "-m", *module], stack.guard, log, environment=environment)


def _is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def _inherited() -> dict[str, str]:
    """Our environment without what would steer the services elsewhere."""
    ours = ("PATH", "HOME", "LANG", "TMPDIR", "LOG_LEVEL", "LOG_FORMAT", "PYTHONPATH")
    return {name: os.environ[name] for name in ours if name in os.environ}


def _start_demo(stack: Stack, api: Api) -> None:
    file = stack.directory / "demo.json"
    broker = {"port": stack.mqtt_port, "use_shared": stack.has_mosquitto}
    demo: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    status, product = api.call("GET", f"/products/{demo.get('product_id', 0)}")
    if status == 404:
        demo = _make_product(api)
    elif product["product_key_id"] != key_id(demo["product_key"]):
        # Renewed by hand: the key that this file holds opens nothing, or will soon.
        demo = _adopt_product(api, demo["product_id"])
    if demo.get("broker") != broker:
        # The broker's port is another than in the last run.
        _point_at(api, demo["product_id"], broker)
        kept.write_secret(file, json.dumps(demo | {"broker": broker}))
    for number in (1, 2):
        _start_instance(stack, f"demo-{number}", demo)
    _start(stack, "publisher", ["deploy.local", "publish"], _inherited() | stack.environment())


def _make_product(api: Api) -> dict[str, Any]:
    body = {"name": "demo", "description": "Sample product", "variables": {"application_id": "demo"}}
    status, answer = api.call("POST", "/products", body)
    if status == 409:
        # An earlier run was stopped before it wrote down the key.
        products = api.need("GET", "/products?limit=100")["products"]
        return _adopt_product(api, next(each["id"] for each in products if each["name"] == "demo"))
    if status >= 400:
        raise LocalError(f"the demo could not be set up: POST /products answered {status}: {answer}")
    return {"product_id": answer["id"], "product_key": answer["product_key"]}


def _adopt_product(api: Api, number: int) -> dict[str, Any]:
    # Only two keys can be good at once, and nobody has the old ones.
    api.call("DELETE", f"/products/{number}/product-key/previous")
    key = api.need("POST", f"/products/{number}/product-key")["product_key"]
    return {"product_id": number, "product_key": key}


def _point_at(api: Api, product: int, broker: dict[str, Any]) -> None:
    base = f"/products/{product}/mqtt-config"
    topics = {"use_shared": broker["use_shared"], "shared_group": "bre"}
    api.need("PUT", base, {"broker": {"host": "127.0.0.1", "port": broker["port"]}, "topics": topics})
    known = {each["name"] for each in api.need("GET", f"{base}/subscriptions")["subscriptions"]}
    for name in (name.replace("-", "_") for name in NAMES):
        if name not in known:
            api.need("POST", f"{base}/subscriptions", {"name": name, "enabled": True, "actions": []})


def _start_instance(stack: Stack, name: str, demo: dict[str, Any]) -> None:
    place = stack.directory / "instances" / name
    place.mkdir(parents=True, exist_ok=True)
    environment = _inherited() | {
        "NATS_URL": stack.nats.url,
        "PRODUCT_ID": str(demo["product_id"]),
        "PRODUCT_KEY": demo["product_key"],
        "INSTANCE_ID": name,
        "STATE_DIR": str(place),
        "APPLICATION_ID": "demo",
    }
    _start(stack, name, ["product_instance"], environment)


def _tell(stack: Stack, port: int, token: str) -> None:
    base = f"http://127.0.0.1:{port}"
    print(f"API and dashboard  {base}")
    print(f"API reference      {base}/docs")
    print(f"Token              {token}")
    print(f"MQTT broker        127.0.0.1:{stack.mqtt_port}")
    print(f"NATS               {stack.nats.url}")
    print(f"Data and logs      {stack.directory}")
    if not stack.has_mosquitto:
        print(
            "Note: mosquitto is not installed; the NATS broker takes its place, without shared subscriptions."
        )
    if stack.postgres.outside:
        print(f"Note: PostgreSQL cannot enter DATA_DIR as another user; its data is in {stack.postgres.data}")
    print("READY", flush=True)
