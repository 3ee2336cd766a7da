"""The dashboard's files and the policy of its page."""

from __future__ import annotations

import gzip
import re
from typing import TYPE_CHECKING

import pytest
from yarl import URL

from config_service import dashboard

from .http import Api, serving, settings

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from deploy.local.nats import Nats

HTML = {"Accept": "text/html,application/xhtml+xml"}
PAGE = '<!doctype html><meta name="csp-nonce" content="__CSP_NONCE__"><script src="/assets/a-1.js"></script>'


@pytest.fixture
def static(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A build."""
    directory = tmp_path / "static"
    (directory / "assets").mkdir(parents=True)
    (directory / "index.html").write_text(PAGE)
    (directory / "assets" / "a-1.js").write_text("export {}")
    (directory / "favicon.svg").write_text("<svg/>")
    (tmp_path / "secret.txt").write_text("outside")
    monkeypatch.setattr(dashboard, "DIRECTORY", directory)
    return directory


@pytest.fixture
async def api(database_url: str, nats_server: Nats, nats_root: str) -> AsyncGenerator[Api]:
    async with serving(settings(database_url, nats_server.url, nats_root)) as api:
        yield api.with_token(None)


async def test_the_page_is_at_every_address_of_its_own(api: Api, static: Path) -> None:
    assert static
    nonces = set[str]()
    for path in ("//", "//?q=a", "//products/7/activity?x=1", "//metrics/of-nothing", "//index.html"):
        response = await api.call("GET", path, headers=HTML)
        assert (response.status, response.content_type) == (200, "text/html"), path
        policy = response.headers["Content-Security-Policy"]
        nonce = re.search(r"'nonce-([\w-]+)'", policy)
        assert nonce
        nonces.add(nonce[1])
        assert f'content="{nonce[1]}"' in await response.text()
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self' 'nonce-")
        assert "unsafe" not in policy
        assert response.headers["X-Frame-Options"] == "DENY"
        assert response.headers["Referrer-Policy"] == "no-referrer"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Cache-Control"] == "no-store"
    assert len(nonces) == 5


async def test_files_of_the_build(api: Api, static: Path) -> None:
    asset = await api.call("GET", "//assets/a-1.js")
    assert asset.status == 200
    assert asset.content_type in ("text/javascript", "application/javascript")
    assert asset.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert asset.headers["X-Content-Type-Options"] == "nosniff"
    icon = await api.call("GET", "//favicon.svg")
    assert (icon.status, icon.headers["Cache-Control"]) == (200, "no-cache")
    assert (await api.client.head("/favicon.svg")).status == 200


async def test_compressed_files_go_to_those_who_take_them(api: Api, static: Path) -> None:
    (static / "assets" / "a-1.js.gz").write_bytes(gzip.compress(b"small"))
    packed = await api.call("GET", "//assets/a-1.js", headers={"Accept-Encoding": "gzip"})
    assert (packed.headers["Content-Encoding"], await packed.text()) == ("gzip", "small")
    assert packed.headers["Vary"] == "Accept-Encoding"
    plain = await api.call("GET", "//assets/a-1.js", headers={"Accept-Encoding": "identity"})
    assert ("Content-Encoding" in plain.headers, await plain.text()) == (False, "export {}")


@pytest.mark.parametrize(
    "path",
    [
        "//assets/missing.js",
        "//api/v1/nothing",
        "//api/nothing",
        "//docs/nothing",
    ],
)
async def test_what_is_not_there_stays_an_error(api: Api, static: Path, path: str) -> None:
    assert static
    response = await api.call("GET", path, headers=HTML)
    assert (response.status, response.content_type) == (404, "application/problem+json")


@pytest.mark.parametrize(
    "path", ["%2e%2e/secret.txt", "..%2fsecret.txt", "assets/%2e%2e/%2e%2e/secret.txt", "a%00b"]
)
async def test_nothing_outside_is_served(api: Api, static: Path, path: str) -> None:
    assert (static.parent / "secret.txt").exists()
    response = await api.client.get(URL(f"/{path}", encoded=True))
    assert response.status == 404
    assert "outside" not in await response.text()


async def test_programs_get_no_page(api: Api, static: Path) -> None:
    assert static
    for headers in ({}, {"Accept": "application/json"}):
        assert (await api.call("GET", "//products", headers=headers)).status == 404
    assert (await api.call("POST", "//products", headers=HTML)).status == 404


async def test_without_a_build_the_page_tells_what_to_do(
    api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dashboard, "DIRECTORY", tmp_path)
    text = await (await api.call("GET", "//")).text()
    assert "make dashboard" in text
