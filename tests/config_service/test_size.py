"""A configuration that one message of NATS cannot hold is refused; one that is taken can be published."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from msgspec import structs

from config_service.core import snapshots
from config_service.core.errors import SnapshotTooLargeError
from config_service.core.inputs import (
    BrokerInput,
    ConfigInput,
    ProductInput,
    ProductPatch,
    SecretInput,
    SubscriptionInput,
    SubscriptionPatch,
)
from config_service.core.model import Write
from config_service.core.state import Desired, Item
from mqtt_shared import bus, messages
from mqtt_shared.messages import Broker
from tests.support.servers import fetch_value
from tests.support.waiting import eventually

from .http import serving, settings

if TYPE_CHECKING:
    from config_service.backend import Backend, BackendSettings
    from config_service.usecases import Usecases
    from deploy.local.nats import Nats

WRITE = Write(actor="ann")
DRY = Write(actor="ann", dry_run=True)
REFERRING: dict[str, Any] = {
    "type": "http_webhook",
    "config": {"url": "https://example.com/{{ secrets.key }}"},
}


def _filling(size: int) -> list[dict[str, Any]]:
    """Actions of about this many bytes."""
    return [{"type": "note", "config": {"text": "x" * size}}]


async def _published(settings: BackendSettings, product_id: int) -> bool:
    return await fetch_value(
        settings.database_url,
        "select revision = published_revision from mqtt_configs where product_id = $1",
        product_id,
    )


@pytest.fixture
async def product_id(backend: Backend) -> int:
    """With a password, and two secrets' worth of room left."""
    cases = backend.usecases
    product, _ = await cases.create_product(ProductInput(name="shop"), WRITE)
    config = ConfigInput(broker=BrokerInput(host="broker.example.com", password="\x01" * 400))
    await cases.put_config(product.id, config, WRITE)
    # NUL apart, a control character takes the most room in JSON: six bytes.
    await cases.put_secret(product.id, "key", SecretInput(value="\x01" * 1000), WRITE)
    return product.id


async def _fill(cases: Usecases, product_id: int) -> int:
    """Add the largest subscription that is taken, found by dry runs; its id."""

    def sized(size: int) -> SubscriptionInput:
        return SubscriptionInput(name="large", actions=[REFERRING, *_filling(size)])

    fits, too_large = 0, 2_000_000
    while too_large - fits > 1:
        middle = (fits + too_large) // 2
        try:
            await cases.create_subscription(product_id, sized(middle), DRY)
        except SnapshotTooLargeError:
            too_large = middle
        else:
            fits = middle
    return (await cases.create_subscription(product_id, sized(fits), WRITE)).value.id


async def test_whatever_is_taken_is_published_also_under_two_keys(
    backend: Backend, backend_settings: BackendSettings, product_id: int
) -> None:
    cases = backend.usecases
    await _fill(cases, product_id)
    await eventually(lambda: _published(backend_settings, product_id))
    await cases.renew_product_key(product_id, WRITE)
    # The renewal has taken the mark away.
    await eventually(lambda: _published(backend_settings, product_id))
    message = await _message(backend_settings, product_id)
    assert messages.decode(message, messages.Snapshot).sealed_previous
    assert len(message) > 0.99 * 1024 * 1024


async def _message(backend_settings: BackendSettings, product_id: int) -> bytes:
    subjects = backend_settings.subjects
    client: Any = await bus.connect(backend_settings.nats_url, "test")
    try:
        found = await client.jetstream().get_last_msg(subjects.bucket_stream, subjects.config(product_id))
    finally:
        await client.close()
    return found.data


async def test_every_way_to_make_it_larger_is_refused(backend: Backend, product_id: int) -> None:
    cases = backend.usecases
    large = await _fill(cases, product_id)
    export = await cases.export_config(product_id)
    revision = (await cases.get_config(product_id)).revision
    assert revision

    with pytest.raises(SnapshotTooLargeError) as refused:
        await cases.create_subscription(product_id, SubscriptionInput(name="orders"), WRITE)
    assert "1,048,320" in str(refused.value)
    assert "subscription large" in str(refused.value)
    with pytest.raises(SnapshotTooLargeError):
        await cases.put_secret(product_id, "key", SecretInput(value="\x01" * 1200), WRITE)
    with pytest.raises(SnapshotTooLargeError):
        await cases.update_product(product_id, ProductPatch(variables={"site": "x" * 200}), WRITE)
    with pytest.raises(SnapshotTooLargeError):
        await cases.update_product(product_id, ProductPatch(variables={"site": "x" * 200}), DRY)
    longer = BrokerInput(host="broker.example.com", username="u" * 200)
    with pytest.raises(SnapshotTooLargeError):
        await cases.put_config(product_id, ConfigInput(broker=longer), WRITE)
    export["subscriptions"].append({"name": "orders"})
    with pytest.raises(SnapshotTooLargeError):
        await cases.import_config(product_id, export, WRITE)
    assert (await cases.get_config(product_id)).revision == revision

    await cases.update_subscription(product_id, large, SubscriptionPatch(actions=[REFERRING]), WRITE)
    await cases.update_product(product_id, ProductPatch(variables={"site": "x" * 200}), WRITE)
    # A secret stays as it is when the rest goes back: now it is longer than then.
    await cases.put_secret(product_id, "key", SecretInput(value="\x01" * 1200), WRITE)
    with pytest.raises(SnapshotTooLargeError):
        await cases.restore_revision(product_id, revision, WRITE)


async def test_the_answer_tells_what_to_shorten(database_url: str, nats_server: Nats, nats_root: str) -> None:
    async with serving(settings(database_url, nats_server.url, nats_root)) as api:
        path = f"/products/{await api.configured()}/mqtt-config/subscriptions"
        body = {"name": "first", "actions": _filling(700_000)}
        await api.json("POST", path, body, 201)
        problem = await api.json("POST", path, body | {"name": "second"}, 422)
        assert problem["type"] == "urn:problem-type:snapshot-too-large"
        assert "max_payload" in problem["detail"]
        assert "subscription second" in problem["detail"]


async def test_one_that_came_in_before_neither_blocks_others_nor_breaks_the_connection(
    backend: Backend, backend_settings: BackendSettings, product_id: int
) -> None:
    cases = backend.usecases
    item = await cases.create_subscription(product_id, SubscriptionInput(name="orders"), WRITE)
    await eventually(lambda: _published(backend_settings, product_id))
    # As a service without the check has left it.
    actions = msgspec.json.encode(_filling(1024 * 1024)).decode()
    await fetch_value(
        backend_settings.database_url,
        "with changed as (update mqtt_subscriptions set actions = $2::text::jsonb where id = $1)"
        " update mqtt_configs set revision = revision + 1",
        item.value.id,
        actions,
    )
    await asyncio.sleep(5 * backend_settings.reconcile_seconds)
    assert not await _published(backend_settings, product_id)

    other, _ = await cases.create_product(ProductInput(name="other"), WRITE)
    await cases.put_config(other.id, ConfigInput(broker=BrokerInput(host="broker.example.com")), WRITE)
    await eventually(lambda: _published(backend_settings, other.id))
    # A way out: what makes it smaller is taken.
    await cases.update_subscription(product_id, item.value.id, SubscriptionPatch(actions=[]), WRITE)
    await eventually(lambda: _published(backend_settings, product_id))


def test_what_becomes_smaller_may_be_too_large_still() -> None:
    before = Desired(broker=Broker(host="broker.example.com"), subscriptions=(_item(1, 600), _item(2, 600)))
    smaller = structs.replace(before, subscriptions=(_item(1, 600),))
    same = structs.replace(before, subscriptions=(_item(1, 600), _item(3, 600)))
    at = datetime(2026, 1, 1, tzinfo=UTC)
    for limit, after, fine in ((500, smaller, True), (500, same, False), (10_000, same, True)):
        snapshot = snapshots.build(1, 2, after, at=at, by="ann")
        if fine:
            snapshots.check_size(before, after, snapshot, limit)
        else:
            with pytest.raises(SnapshotTooLargeError):
                snapshots.check_size(before, after, snapshot, limit)


def _item(number: int, size: int) -> Item:
    return Item(id=number, name=f"n{number}", actions=_filling(size))
