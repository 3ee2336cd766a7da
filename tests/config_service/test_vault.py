"""Secrets at rest: rotation while the service writes, and wrong keys noticed at start."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from msgspec import structs

from config_service.backend import open_backend, rotate
from config_service.core.inputs import BrokerInput, ConfigInput, ProductInput, SubscriptionInput, TestInput
from config_service.core.model import Write
from config_service.vault import WrongKeyError
from mqtt_shared import sealing
from tests.support.servers import fetch_value

if TYPE_CHECKING:
    from config_service.backend import Backend, BackendSettings

WRITE = Write(actor="ann")


def _config(password: str) -> ConfigInput:
    return ConfigInput(broker=BrokerInput(host="mqtt.example.com", password=password))


async def test_rotate_while_writing(backend_settings: BackendSettings) -> None:
    """Afterwards the old key opens nothing and the new one everything, also the history."""
    async with open_backend(backend_settings) as backend:
        cases = backend.usecases
        products = [(await cases.create_product(ProductInput(name=f"p{n}"), WRITE))[0].id for n in range(3)]
        for product_id in products:
            await cases.put_config(product_id, _config("first"), WRITE)
        await cases.renew_product_key(products[0], WRITE)
    both = structs.replace(backend_settings, keys=(sealing.new_key(), *backend_settings.keys))
    done = asyncio.Event()

    async def write(product_id: int) -> int:
        """Writes that keep the password, by a replica that has both keys, until the rotation is done."""
        count = 0
        while not done.is_set():
            new = SubscriptionInput(name=f"s{count}")
            await replica.usecases.create_subscription(product_id, new, WRITE)
            count += 1
        return count

    async with open_backend(both) as replica:
        writers = [asyncio.create_task(write(product_id)) for product_id in products]
        assert await rotate(both) >= 10
        done.set()
        counts = await asyncio.gather(*writers)
    assert all(counts)
    assert await rotate(both) == 0
    only_new = structs.replace(both, keys=both.keys[:1])
    async with open_backend(only_new) as fresh:
        for product_id in products:
            wanted = await fresh.usecases.settings_to_test(product_id, TestInput())
            assert wanted.secrets.password == "first"
            await fresh.usecases.restore_revision(product_id, 1, WRITE)


async def test_wrong_key_at_start(backend: Backend, backend_settings: BackendSettings) -> None:
    await backend.usecases.create_product(ProductInput(name="one"), WRITE)
    wrong = structs.replace(backend_settings, keys=(sealing.new_key(),))
    with pytest.raises(WrongKeyError, match="MQTT_PASSWORD_ENCRYPTION_KEY"):
        async with open_backend(wrong):
            pass


@pytest.mark.parametrize("keys", [(), ("short",)])
async def test_bad_keys(backend_settings: BackendSettings, keys: tuple[str, ...]) -> None:
    with pytest.raises(sealing.InvalidKeyError, match="MQTT_PASSWORD_ENCRYPTION_KEY") as refused:
        async with open_backend(structs.replace(backend_settings, keys=keys)):
            pass
    assert "short" not in str(refused.value)


async def test_nothing_in_clear(backend: Backend, backend_settings: BackendSettings) -> None:
    product, key = await backend.usecases.create_product(ProductInput(name="one"), WRITE)
    await backend.usecases.put_config(product.id, _config("very-secret"), WRITE)
    await backend.usecases.delete_config(product.id, WRITE)
    for table in ("products", "mqtt_configs", "mqtt_config_revisions", "mqtt_config_tombstones"):
        rows = await fetch_value(
            backend_settings.database_url, f"select string_agg(t::text, '') from {table} t"
        )
        assert "very-secret" not in (rows or "")
        assert key not in (rows or "")
