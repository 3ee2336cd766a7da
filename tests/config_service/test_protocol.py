"""What is not HTTP, or hardly, gets a problem too, and nothing of it is told or logged."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from tests.support.processes import http_status

from .http import ADMIN_TOKEN, KEY

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from deploy.local.nats import Nats
    from deploy.local.process import Process
    from tests.support.processes import Processes

SECRET = b"made-up-secret-0123456789"
_GET = b"GET /api/v1/products"
_POST = b"POST /api/v1/session HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"


@pytest.fixture
async def service(
    database_url: str, nats_server: Nats, nats_root: str, processes: Processes
) -> AsyncIterator[tuple[Process, int]]:
    """A running service, and that it still runs in the end."""
    environment = {
        "DATABASE_URL": database_url,
        "NATS_URL": nats_server.url,
        "NATS_ROOT": nats_root,
        "ADMIN_TOKEN": ADMIN_TOKEN,
        "MQTT_PASSWORD_ENCRYPTION_KEY": KEY,
        "LOG_FORMAT": "json",
        "LOG_LEVEL": "debug",
    }
    process, port = await processes.serve("config_service", environment=environment)
    yield process, port
    assert await asyncio.to_thread(http_status, port, "/healthz") == 200


async def answered(port: int, request: bytes) -> bytes:
    """All that comes until the service closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    await writer.wait_closed()
    return answer


async def test_malformed_requests(service: tuple[Process, int]) -> None:
    process, port = service
    requests = {
        "a long line": _GET + b"?q=" + SECRET * 400 + b" HTTP/1.1\r\nHost: h\r\n\r\n",
        "a long header": _GET + b" HTTP/1.1\r\nHost: h\r\nAuthorization: " + SECRET * 400 + b"\r\n\r\n",
        "no colon": _GET + b" HTTP/1.1\r\nHost: h\r\nAuthorization " + SECRET + b"\r\n\r\n",
        "NUL": _GET + b" HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer " + SECRET + b"\0\r\n\r\n",
        "no method": b"G@T /" + SECRET + b" HTTP/1.1\r\nHost: h\r\n\r\n",
        "no version": _GET + b"?q=" + SECRET + b" HTTP/9.9\r\nHost: h\r\n\r\n",
        "no host in the URL": b"GET http://[" + SECRET + b"/ HTTP/1.1\r\nHost: h\r\n\r\n",
        "no length": _POST + b"Content-Length: " + SECRET + b"\r\n\r\n",
        "no chunk": _POST + b"Transfer-Encoding: chunked\r\n\r\n" + SECRET + b"\r\n",
        "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + SECRET + b"\r\n\r\n",
    }
    for name, request in requests.items():
        head, _, body = (await answered(port, request)).partition(b"\r\n\r\n")
        assert b" 400 " in head.splitlines()[0], name
        assert b"application/problem+json" in head, name
        problem = json.loads(body)
        assert problem["status"] == 400
        assert ("8190" in problem["detail"]) == ("long" in name)
        assert SECRET not in head + body, name
    logged = process.output()
    assert SECRET.decode() not in logged
    assert "Traceback" not in logged
    assert logged.count("malformed request") == len(requests)


async def test_what_is_expected_beside_a_body(service: tuple[Process, int]) -> None:
    _, port = service
    body = json.dumps({"token": ADMIN_TOKEN}).encode()
    rest = b"Connection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    same_site = b"Sec-Fetch-Site: same-origin\r\n"
    answer = await answered(port, _POST + same_site + b"Expect: 100-continue\r\n" + rest)
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")
    answer = await answered(port, _POST + same_site + b"Expect: miracles\r\n" + rest)
    assert answer.startswith(b"HTTP/1.1 417 ")
    assert b"application/problem+json" in answer
    assert b"miracles" not in answer
