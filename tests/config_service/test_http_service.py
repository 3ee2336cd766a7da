"""The service itself: the document, its page, health, metrics, secrets, and servers that are away."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import jsonschema
import msgspec
import pytest
import schemathesis

from config_service.app import DIED, openapi_json
from config_service.migration import NewerDatabaseError
from config_service.routes import ROUTES
from config_service.routes.docs import HEADERS
from mqtt_shared import logs
from tests.support.servers import execute
from tests.support.waiting import eventually

from .http import ADMIN_TOKEN, CONFIG, KEY, Api, serving, settings

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from deploy.local.nats import Nats
    from deploy.local.postgres import Postgres

PASSWORD = "a-made-up-password-that-must-never-show"


@pytest.fixture
async def api(database_url: str, nats_server: Nats, nats_root: str) -> AsyncGenerator[Api]:
    async with serving(settings(database_url, nats_server.url, nats_root)) as api:
        yield api


# --- The document and its page


def test_the_document_is_valid_and_the_one_in_the_docs() -> None:
    document = json.loads(openapi_json())
    cast("Any", schemathesis.openapi).from_dict(document).validate()
    kept = Path(__file__).parents[2] / "docs" / "openapi.json"
    assert json.loads(kept.read_bytes()) == document, (
        "write it anew: config-service openapi > docs/openapi.json"
    )


def test_every_operation_is_described() -> None:
    document = json.loads(openapi_json())
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    assert len(operations) == len([route for route in ROUTES if not route.hidden])
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    assert {"bearer", "session"} == set(document["components"]["securitySchemes"])
    for route in ROUTES:
        if not route.hidden:
            operation = document["paths"][route.path][route.method.lower()]
            assert operation["summary"]
            assert bool(operation["security"]) is (route.role is not None)
            assert "422" in operation["responses"]


@pytest.mark.parametrize(
    "route", [route for route in ROUTES if route.body is not None], ids=lambda route: route.name
)
def test_examples_fit_their_schema_and_are_taken(route: Any) -> None:
    from config_service.core.validation import read

    document = json.loads(openapi_json())
    content = document["paths"][route.path][route.method.lower()]["requestBody"]["content"][
        "application/json"
    ]
    schema = {**content["schema"], "components": document["components"]}
    cast("Any", jsonschema).Draft202012Validator(schema).validate(content["example"])
    assert read(msgspec.json.encode(content["example"]), route.body) is not None


async def test_only_files_of_the_page_are_hidden(api: Api) -> None:
    assert {route.path for route in ROUTES if route.hidden and not route.path.startswith("/docs")} == {"/"}
    server: Any = api.client.server
    served = {resource.canonical for resource in server.app.router.resources()}
    assert served == {route.path for route in ROUTES}


async def test_the_page_loads_nothing_from_elsewhere(api: Api) -> None:
    nobody = api.with_token(None)
    page = await nobody.call("GET", "//docs")
    assert page.content_type == "text/html"
    assert page.headers["Content-Security-Policy"] == HEADERS["Content-Security-Policy"]
    text = await page.text()
    assert "http" not in text.replace("https://www.w3.org", "")
    for name in ("initializer.js", "swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png"):
        assert f"/docs/{name}" in text
        file = await nobody.call("GET", f"//docs/{name}")
        assert (file.status, file.headers["X-Content-Type-Options"]) == (200, "nosniff")
    assert await (await nobody.call("GET", "//api/openapi.json")).read() == openapi_json()


# --- Health and metrics


async def test_health_readiness_and_metrics(api: Api) -> None:
    nobody = api.with_token(None)
    assert await nobody.json("GET", "//healthz") == {"status": "ok"}
    assert await nobody.json("GET", "//readyz") == {"status": "ready", "down": {}}
    product = await api.configured()
    await api.call("GET", f"/products/{product}/nothing")
    text = await (await nobody.call("GET", "//metrics")).text()
    for line in (
        'requests_total{method="PUT",route="/api/v1/products/{product_id}/mqtt-config",status="200"} 1.0',
        'config_service_http_requests_total{method="GET",route="unmatched",status="404"} 1.0',
        'config_service_dependency_up{dependency="nats"} 1.0',
        'config_service_dependency_up{dependency="postgresql"} 1.0',
        "config_service_publisher_configs_behind",
        "config_service_build_info",
        'config_service_http_request_duration_seconds_bucket{le="0.005"',
    ):
        assert line in text
    assert f"/products/{product}" not in text


async def test_whatever_can_be_read_can_be_asked_for_its_headers(api: Api) -> None:
    product = await api.configured()
    for path in ("//healthz", "//readyz", "/products", f"/products/{product}/mqtt-config"):
        whole, head = await api.call("GET", path), await api.call("HEAD", path)
        assert (head.status, await head.read()) == (whole.status, b"")
        for name in ("Content-Type", "Content-Length", "ETag"):
            assert head.headers.get(name) == whole.headers.get(name), path
    assert (await api.with_token(None).call("HEAD", "/products")).status == 401
    assert (await api.call("HEAD", "/products/999")).status == 404
    assert (await api.call("HEAD", "/events")).status == 405


async def test_answers_are_not_to_be_stored(api: Api) -> None:
    response = await api.call("GET", "/products")
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["X-Content-Type-Options"] == "nosniff"


# --- Secrets


async def test_no_secret_shows_in_any_answer_or_log_line(
    database_url: str, nats_server: Nats, nats_root: str, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = settings(database_url, nats_server.url, nats_root, log_level="debug", log_format="json")
    before = logging.getLogger().handlers[:]
    logs.configure(chosen)
    answers = list[str]()
    try:
        async with serving(chosen) as api:
            await _walk(api, answers)
        logged = capsys.readouterr().err
    finally:
        logging.getLogger().handlers[:] = before
        logging.getLogger().setLevel(logging.WARNING)
    assert '"route":"/api/v1/products/{product_id}/mqtt-config","status":200' in logged
    for secret in (PASSWORD, KEY, ADMIN_TOKEN):
        assert secret not in logged
        assert not [answer for answer in answers if secret in answer]


async def _walk(api: Api, answers: list[str]) -> None:
    product = await api.product()
    path = f"/products/{product}/mqtt-config"
    body: dict[str, Any] = {"broker": {"host": "127.0.0.1", "port": 1, "username": "u", "password": PASSWORD}}
    bad: dict[str, Any] = {"broker": {"host": PASSWORD + " ", "port": PASSWORD, "password": [PASSWORD]}}
    requests: tuple[tuple[str, str, Any], ...] = (
        ("PUT", path, bad),
        ("PUT", f"{path}?dry_run=true", body),
        ("PUT", path, body),
        ("GET", path, None),
        ("POST", f"{path}/test", None),
        ("POST", f"{path}/test", body),
        ("PUT", path, {"broker": {"host": "b.example.com", "password": PASSWORD + "2"}}),
        ("GET", f"{path}/revisions", None),
        ("GET", f"{path}/revisions/1", None),
        ("GET", f"{path}/revisions/2/diff?against=1", None),
        ("POST", f"{path}/revisions/1/restore", None),
        ("GET", f"{path}/export", None),
        (
            "POST",
            f"{path}/import",
            {"broker": {"host": "a", "password": PASSWORD}, "topics": {}, "subscriptions": []},
        ),
        ("POST", f"{path}/import", body),
        ("DELETE", path, None),
        ("GET", "//metrics", None),
        ("GET", "//readyz", None),
    )
    for method, url, sent in requests:
        response = await api.call(method, url, sent)
        assert response.status < 500
        answers.append(await response.text() + str(response.headers))
    raw = f'{{"broker": {{"password": "{PASSWORD}"'.encode()
    broken = await api.call("PUT", path, data=raw, headers={"Content-Type": "application/json"})
    answers.append(await broken.text())


# --- Servers that are away


async def test_it_waits_for_postgresql_and_says_so(
    own_postgres: Postgres, nats_server: Nats, nats_root: str
) -> None:
    url = own_postgres.url()
    own_postgres.stop()
    async with serving(settings(url, nats_server.url, nats_root), ready=False) as api:
        assert (await api.call("GET", "//healthz")).status == 200
        assert "postgresql" in (await api.json("GET", "//readyz", status=503))["down"]
        response = await api.call("GET", "/products")
        assert (response.status, response.headers["Retry-After"]) == (503, "2")
        assert (await api.call("GET", "//metrics")).status == 200
        own_postgres.start()

        async def works() -> bool:
            return (await api.call("POST", "/products", {"name": "shop"})).status == 201

        await eventually(works, every=0.1)
        own_postgres.stop()
        response = await api.call("GET", "/products")
        assert (response.status, "Retry-After" in response.headers) == (503, True)
        assert "postgresql" in (await api.json("GET", "//readyz", status=503))["down"]
        own_postgres.start()

        async def is_back() -> bool:
            return (await api.call("GET", "/products")).status == 200

        await eventually(is_back, every=0.1)


async def test_without_nats_changes_are_kept(database_url: str, own_nats: Nats, nats_root: str) -> None:
    async with serving(settings(database_url, own_nats.url, nats_root)) as api:
        own_nats.stop()

        async def is_noticed() -> bool:
            return "nats" in json.loads(await (await api.call("GET", "//readyz")).read())["down"]

        await eventually(is_noticed)
        product = await api.configured()
        assert (await api.json("GET", f"/products/{product}/mqtt-config"))["revision"] == 1
        path = f"/products/{product}/mqtt-config/reconnect"
        assert (await api.call("POST", path)).status == 503


async def test_a_newer_database_ends_the_service(
    database_url: str, nats_server: Nats, nats_root: str
) -> None:
    execute(database_url, "update alembic_version set version_num = '9999'")
    async with serving(settings(database_url, nats_server.url, nats_root), ready=False) as api:
        app: Any = api.client.server
        died = app.app[DIED]
        with pytest.raises(NewerDatabaseError):
            await asyncio.wait_for(asyncio.shield(died), 10)


async def test_requests_of_two_operators_at_once(api: Api) -> None:
    path = f"/products/{await api.configured()}/mqtt-config"
    match = {"If-Match": '"1"'}
    bodies = [{"broker": {"host": f"{name}.example.com"}} for name in "abcdef"]
    statuses = await asyncio.gather(*(_status(api, path, body, match) for body in bodies))
    assert sorted(statuses) == [200, *[412] * 5]
    assert (await api.json("GET", path))["revision"] == 2
    assert CONFIG["broker"]["host"] != (await api.json("GET", path))["mqtt_config"]["broker"]["host"]


async def _status(api: Api, path: str, body: Any, headers: dict[str, str]) -> int:
    return (await api.call("PUT", path, body, headers=headers)).status
