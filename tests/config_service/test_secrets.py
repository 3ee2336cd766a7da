"""Named secrets of a product over HTTP: written, listed, referred to, rotated, and never shown."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from msgspec import structs

from config_service.app import backend_settings
from config_service.backend import rotate
from mqtt_shared import bus, sealing
from tests.support.servers import fetch_value
from tests.support.waiting import eventually

from .http import CONFIG, Api, serving, settings

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from config_service.settings import ServeSettings
    from deploy.local.nats import Nats

VALUE = "a-made-up-value-that-must-never-show"


@pytest.fixture
def chosen(database_url: str, nats_server: Nats, nats_root: str) -> ServeSettings:
    return settings(database_url, nats_server.url, nats_root)


@pytest.fixture
async def api(chosen: ServeSettings) -> AsyncGenerator[Api]:
    async with serving(chosen) as api:
        yield api


def webhook(secret: str) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {{{{ secrets.{secret} }}}}"}
    return {"type": "http_webhook", "config": {"url": "https://example.com/hook", "headers": headers}}


async def snapshot(chosen: ServeSettings, product: dict[str, Any], revision: int) -> sealing.Opened:
    """The published snapshot, once it is at this revision."""
    client: Any = await bus.connect(chosen.nats_url, "test")
    try:
        bucket = await client.jetstream().key_value(chosen.subjects.bucket)

        async def there() -> sealing.Opened | None:
            raw: bytes = (await bucket.get(str(product["id"]))).value
            assert VALUE.encode() not in raw
            opened = sealing.open_snapshot(raw, product["product_key"])
            return opened if opened.snapshot.revision == revision else None

        async def found() -> sealing.Opened | None:
            try:
                return await there()
            except Exception as error:
                raise AssertionError(repr(error)) from error

        opened = await eventually(found)
        assert opened
        return opened
    finally:
        await client.close()


async def test_a_secret_lives_and_dies(api: Api, chosen: ServeSettings) -> None:
    product = await api.json("POST", "/products", {"name": "shop"}, 201)
    path, config = f"/products/{product['id']}/secrets", f"/products/{product['id']}/mqtt-config"
    # Before there is a configuration.
    made = await api.json("PUT", f"{path}/orders_token", {"value": VALUE})
    assert (made["revision"], made["secret"]["name"]) == (None, "orders_token")
    assert set(made["secret"]) == {"name", "created_at", "updated_at", "used_by"}
    assert (await api.json("PUT", config, CONFIG))["revision"] == 1
    answer = await api.json(
        "POST", f"{config}/subscriptions", {"name": "a", "actions": [webhook("orders_token")]}, 201
    )
    assert answer["warnings"] == [w for w in answer["warnings"] if w["type"] != "unknown_secret"]
    assert (await snapshot(chosen, product, 2)).secrets.named == {"orders_token": VALUE}

    # A new value is a new revision; the same one is none.
    same = await api.json("PUT", f"{path}/orders_token", {"value": VALUE})
    assert (same["revision"], same["secret"]["updated_at"]) == (2, made["secret"]["updated_at"])
    dry = await api.json("PUT", f"{path}/orders_token?dry_run=true", {"value": "x"})
    assert (dry["dry_run"], dry["effect"]["secrets_changed"]) == (True, ["orders_token"])
    tag = {"If-Match": '"1"'}
    assert (await api.call("PUT", f"{path}/orders_token", {"value": "x"}, headers=tag)).status == 412
    answer = await api.json("PUT", f"{path}/orders_token", {"value": VALUE + "2"})
    assert (answer["revision"], answer["effect"]["secrets_changed"]) == (3, ["orders_token"])
    assert answer["effect"]["connection"] == "keep"
    assert (await snapshot(chosen, product, 3)).secrets.named == {"orders_token": VALUE + "2"}
    diff = await api.json("GET", f"{config}/revisions/3/diff?against=2")
    assert [change["path"] for change in diff["changes"]] == [["secrets", "orders_token"]]

    # What no action refers to stays here.
    await api.json("PUT", f"{path}/other", {"value": "made-up"})
    assert set((await snapshot(chosen, product, 4)).secrets.named) == {"orders_token"}
    listed = await api.json("GET", f"{path}?limit=1")
    assert [(secret["name"], secret["used_by"]) for secret in listed["secrets"]] == [("orders_token", ["a"])]
    rest = await api.json("GET", f"{path}?cursor={listed['next_cursor']}")
    assert [(secret["name"], secret["used_by"]) for secret in rest["secrets"]] == [("other", [])]

    # One in use stays.
    problem = await api.json("DELETE", f"{path}/orders_token", status=409)
    assert problem["type"] == "urn:problem-type:secret-in-use"
    assert (await api.json("DELETE", f"{path}/other"))["revision"] == 5
    await api.json("DELETE", f"{path}/other", status=404)
    assert (await api.json("GET", f"{config}/revisions/5"))["action"] == "delete_secret"

    # Gone with the configuration only as far as instances are concerned.
    await api.json("DELETE", config)
    assert (await snapshot(chosen, product, 6)).secrets == sealing.Secrets()
    assert [secret["name"] for secret in (await api.json("GET", path))["secrets"]] == ["orders_token"]
    assert (await api.json("DELETE", f"{path}/orders_token"))["message"] == "Secret removed successfully"
    assert (await api.json("GET", path)) == {"secrets": [], "missing": [], "next_cursor": None}


async def test_an_unknown_secret_is_a_warning(api: Api) -> None:
    config = f"/products/{await api.configured()}/mqtt-config"
    answer = await api.json(
        "POST", f"{config}/subscriptions", {"name": "a", "actions": [webhook("nobody")]}, 201
    )
    (warning,) = [each for each in answer["warnings"] if each["type"] == "unknown_secret"]
    assert warning["loc"] == ["subscriptions", "a", "actions", 0, "config"]
    assert "nobody" in warning["msg"]
    secrets = config.replace("mqtt-config", "secrets")
    assert (await api.json("GET", secrets))["missing"] == [{"name": "nobody", "used_by": ["a"]}]
    await api.json("PUT", f"{secrets}/nobody", {"value": VALUE})
    assert (await api.json("GET", secrets))["missing"] == []


async def test_going_back_leaves_secrets_as_they_are(api: Api, chosen: ServeSettings) -> None:
    product = await api.json("POST", "/products", {"name": "shop"}, 201)
    path, config = f"/products/{product['id']}/secrets", f"/products/{product['id']}/mqtt-config"
    await api.json("PUT", config, CONFIG)
    await api.json("PUT", f"{path}/token", {"value": "first"})
    await api.json("POST", f"{config}/subscriptions", {"name": "a", "actions": [webhook("token")]}, 201)
    await api.json("PUT", f"{path}/token", {"value": VALUE})
    await api.json("PUT", config, {"broker": {"host": "b.example.com"}})
    assert (await api.json("POST", f"{config}/revisions/3/restore"))["revision"] == 6
    assert (await snapshot(chosen, product, 6)).secrets.named == {"token": VALUE}


async def test_bad_input(api: Api) -> None:
    path = f"/products/{await api.product()}/secrets"
    for value, fault in (
        ("", "too_short"),
        ("***", "secret"),
        ("a\x00b", "nul_character"),
        (7, "wrong_type"),
    ):
        assert await api.faults("PUT", f"{path}/a", {"value": value}) == {"body.value": fault}
    assert await api.faults("PUT", f"{path}/a", {"value": "a" * 10_001}) == {"body.value": "too_long"}
    for name in ("1a", "a-b", "%C3%A4", "a" * 101):
        assert await api.faults("PUT", f"{path}/{name}", {"value": "a"}) == {"path.name": "pattern"}
    assert (await api.call("PUT", "/products/999/secrets/a", {"value": "a"})).status == 404
    assert (await api.call("GET", "/products/999/secrets")).status == 404
    for number in range(100):
        await api.json("PUT", f"{path}/a{number}", {"value": "a"})
    assert await api.faults("PUT", f"{path}/b", {"value": "a"}) == {"path.name": "too_many"}


async def test_writers_at_once(api: Api) -> None:
    path = f"/products/{await api.configured()}/secrets"
    await asyncio.gather(*(api.json("PUT", f"{path}/a{n}", {"value": VALUE}) for n in range(8)))
    assert len((await api.json("GET", path))["secrets"]) == 8
    assert (await api.json("GET", path.replace("secrets", "mqtt-config")))["revision"] == 9


async def test_it_is_nowhere_in_clear(
    api: Api, chosen: ServeSettings, database_url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    product = await api.json("POST", "/products", {"name": "shop"}, 201)
    path, config = f"/products/{product['id']}/secrets", f"/products/{product['id']}/mqtt-config"
    await api.json("PUT", f"{path}/token", {"value": VALUE})
    await api.json("PUT", config, CONFIG)
    await api.json("POST", f"{config}/subscriptions", {"name": "a", "actions": [webhook("token")]}, 201)
    await api.json("PUT", f"{path}/token", {"value": VALUE + "2"})
    reads = (path, config, f"{config}/revisions", f"{config}/revisions/3", f"{config}/export", "//metrics")
    answers = [await (await api.call("GET", each)).text() for each in reads]
    answers += [await (await api.call("PUT", f"{path}/{'a' * 101}", {"value": VALUE})).text()]
    export = await api.json("GET", f"{config}/export")
    assert export["secrets"] == ["token"]
    assert (await api.json("POST", f"{config}/import", export))["revision"] == 3
    await snapshot(chosen, product, 3)
    tables = await fetch_value(
        database_url, "select array_agg(tablename) from pg_tables where schemaname = 'public'"
    )
    rows = [await fetch_value(database_url, f"select string_agg(t::text, '') from {t} t") for t in tables]
    logged = "".join(capfd.readouterr())
    assert not [text for text in (*answers, *rows, logged) if text and VALUE in text]


async def test_rotation(api: Api, chosen: ServeSettings, database_url: str) -> None:
    path = f"/products/{await api.product()}/secrets"
    await api.json("PUT", f"{path}/one", {"value": VALUE})
    await api.json("PUT", f"{path}/two", {"value": VALUE})
    before = await fetch_value(database_url, "select array_agg(secret order by name) from product_secrets")
    old = backend_settings(chosen)
    new = structs.replace(old, keys=(sealing.new_key(), *old.keys))
    assert await rotate(new) >= 2
    after = await fetch_value(database_url, "select array_agg(secret order by name) from product_secrets")
    ring = sealing.Keyring(new.keys[:1])
    opened = [
        ring.decrypt(token, purpose=f"named-secret {name}", product_id=1)
        for token, name in zip(after, ("one", "two"), strict=True)
    ]
    assert opened == [VALUE, VALUE]
    assert not set(before) & set(after)
    # A token opens under its own name alone.
    with pytest.raises(sealing.UnsealError):
        ring.decrypt(after[0], purpose="named-secret two", product_id=1)
