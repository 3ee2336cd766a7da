"""Writes that start from what a process remembers, and writes that share a commit."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any

import pytest
from msgspec import UNSET, structs

from config_service.backend import open_backend
from config_service.core.errors import (
    InvalidInputError,
    NotFoundError,
    RevisionMismatchError,
    UnavailableError,
)
from config_service.core.inputs import (
    BrokerInput,
    ConfigInput,
    ProductInput,
    ProductPatch,
    SecretInput,
    SubscriptionInput,
    SubscriptionPatch,
    TopicsInput,
)
from config_service.core.model import Write
from mqtt_shared import bus, sealing
from tests.support.servers import fetch_value
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from config_service.backend import Backend, BackendSettings
    from config_service.core.model import MqttConfig
    from config_service.usecases import Usecases
    from deploy.local.postgres import Postgres

WRITE = Write(actor="ann")


@pytest.fixture
async def other(backend: Backend, backend_settings: BackendSettings) -> AsyncIterator[Usecases]:
    """A second replica."""
    async with open_backend(backend_settings) as replica:
        yield replica.usecases


@pytest.fixture
def cases(backend: Backend) -> Usecases:
    return backend.usecases


@pytest.fixture
async def product_id(cases: Usecases) -> int:
    """At revision 1, which the first replica remembers."""
    return await _product(cases, "shop")


async def _product(cases: Usecases, name: str) -> int:
    product, _ = await cases.create_product(ProductInput(name=name), WRITE)
    await cases.put_config(product.id, _broker(), WRITE)
    return product.id


def _broker(**fields: Any) -> ConfigInput:
    return ConfigInput(broker=BrokerInput(host="mqtt.example.com", **fields))


async def _stored(cases: Usecases, product_id: int) -> MqttConfig:
    config = (await cases.get_config(product_id)).mqtt_config
    assert config
    return config


async def test_two_replicas_in_turns_lose_no_field(cases: Usecases, other: Usecases, product_id: int) -> None:
    """Each remembers a revision that the other one has left behind."""
    for n in range(10, 16):
        one = await cases.put_config(product_id, _broker(keep_alive=n), WRITE)
        two = await other.put_config(product_id, _broker(username=f"u{n}"), WRITE)
        assert two.revision == one.revision + 1
        assert two.value == await _stored(cases, product_id)
    stored = await _stored(cases, product_id)
    assert (stored.broker.keep_alive, stored.broker.username) == (15, "u15")


async def test_two_replicas_in_turns_with_if_match(cases: Usecases, other: Usecases, product_id: int) -> None:
    """A revision is matched with what is stored, not with what is remembered."""
    await other.put_config(product_id, _broker(keep_alive=20), Write(actor="bob", if_match=1))
    for stale in (cases, other):
        with pytest.raises(RevisionMismatchError) as refused:
            await stale.put_config(product_id, _broker(keep_alive=30), Write(actor="ann", if_match=1))
        assert refused.value.current == 2
    change = await cases.put_config(product_id, _broker(username="u"), Write(actor="ann", if_match=2))
    assert (change.revision, change.value.broker.keep_alive) == (3, 20)


async def test_what_is_remembered_answers_nothing(cases: Usecases, other: Usecases, product_id: int) -> None:
    """What would be no change, or an error, by what the first replica remembers, is one by what is stored."""
    await other.put_config(product_id, _broker(keep_alive=20), WRITE)
    made = await other.create_subscription(product_id, SubscriptionInput(name="orders"), WRITE)
    back = await cases.put_config(product_id, _broker(keep_alive=60), WRITE)
    assert (back.revision, back.value.broker.keep_alive) == (4, 60)
    await other.update_subscription(product_id, made.value.id, SubscriptionPatch(name="invoices"), WRITE)
    changed = await cases.update_subscription(
        product_id, made.value.id, SubscriptionPatch(enabled=False), WRITE
    )
    assert (changed.value.name, changed.value.enabled) == ("invoices", False)
    await other.delete_subscription(product_id, made.value.id, WRITE)
    with pytest.raises(NotFoundError):
        await cases.update_subscription(product_id, made.value.id, SubscriptionPatch(enabled=True), WRITE)


async def test_removed_and_made_again_elsewhere(cases: Usecases, other: Usecases, product_id: int) -> None:
    await cases.create_subscription(product_id, SubscriptionInput(name="orders"), WRITE)
    await other.delete_config(product_id, WRITE)
    again = await cases.put_config(product_id, _broker(keep_alive=20), WRITE)
    assert again.revision == 4
    assert (await cases.get_config(product_id)).subscriptions == []
    await other.delete_product(product_id, WRITE)
    with pytest.raises(NotFoundError):
        await cases.put_config(product_id, _broker(keep_alive=30), WRITE)


async def test_name_and_variables_changed_elsewhere(
    cases: Usecases, other: Usecases, product_id: int
) -> None:
    patch = ProductPatch(name="store", description="renamed", variables={"application_id": "a1"})
    await other.update_product(product_id, patch, WRITE)
    await cases.put_config(product_id, _broker(keep_alive=20), WRITE)
    await other.update_product(product_id, ProductPatch(name="market"), WRITE)
    await cases.put_config(product_id, _broker(keep_alive=30), WRITE)
    product = await cases.get_product(product_id)
    assert (product.name, product.description) == ("market", "renamed")
    assert product.variables == {"application_id": "a1"}
    after = (await cases.get_revision(product_id, 4)).after
    assert after
    assert after["variables"] == {"application_id": "a1"}


async def test_a_key_renewed_elsewhere_seals_the_next_write(
    backend_settings: BackendSettings, cases: Usecases, other: Usecases, product_id: int
) -> None:
    key = await other.renew_product_key(product_id, WRITE)
    change = await cases.put_config(product_id, _broker(keep_alive=20), WRITE)
    client: Any = await bus.connect(backend_settings.nats_url, "test")
    jetstream, subjects = client.jetstream(), backend_settings.subjects

    async def sealed_anew() -> bool:
        found = await jetstream.get_last_msg(subjects.bucket_stream, subjects.config(product_id))
        try:
            opened = sealing.open_snapshot(found.data, key)
        except sealing.UnsealError:
            return False
        return opened.snapshot.revision == change.revision

    await eventually(sealed_anew)
    await client.close()


async def test_a_subscription_counted_meanwhile(
    backend_settings: BackendSettings, cases: Usecases, product_id: int
) -> None:
    """Counts move without a revision: the answer of a write has them as they stand."""
    made = await cases.create_subscription(product_id, SubscriptionInput(name="orders"), WRITE)
    await fetch_value(backend_settings.database_url, "update mqtt_subscriptions set messages_received = 7")
    change = await cases.update_subscription(
        product_id, made.value.id, SubscriptionPatch(enabled=False), WRITE
    )
    assert change.value.stats
    assert change.value.stats.messages_received == 7
    assert change.value == (await cases.get_subscription(product_id, made.value.id))[0]


async def test_secrets_changed_elsewhere(cases: Usecases, other: Usecases, product_id: int) -> None:
    """Each revision tells since when a secret has its value, whoever wrote it."""
    for side, value in ((cases, "made-up-1"), (other, "made-up-2"), (cases, "made-up-3")):
        await side.put_secret(product_id, "key", SecretInput(value=value), WRITE)
        await side.put_config(product_id, _broker(username=value), WRITE)
    await other.delete_secret(product_id, "key", WRITE)
    await cases.put_config(product_id, _broker(username="last"), WRITE)
    rows = (await cases.list_revisions(product_id, 200, None)).items
    assert all(new.before == old.after for new, old in itertools.pairwise(rows))
    told = [(await cases.get_revision(product_id, row.revision)).after for row in rows]
    assert [len(set(after["secrets"])) for after in told if after] == [0, 0, 1, 1, 1, 1, 1, 1, 0]
    times = [after["secrets"]["key"] for after in told if after and after["secrets"]]
    assert [len({*times[at : at + 2]}) for at in (0, 2, 4)] == [1, 1, 1]
    assert len(set(times)) == 3


async def test_writes_of_one_moment_share_commits(backend_settings: BackendSettings, cases: Usecases) -> None:
    """Each gets an answer of its own, with one transaction for many."""
    ids = [await _product(cases, f"p{n}") for n in range(12)]
    changes = await asyncio.gather(
        *(cases.put_config(i, _broker(keep_alive=20 + n), WRITE) for n, i in enumerate(ids))
    )
    for n, (i, change) in enumerate(zip(ids, changes, strict=True)):
        assert change.value.product_id == i
        assert change.value.broker.keep_alive == 20 + n
        assert change.value == await _stored(cases, i)
    transactions = await fetch_value(
        backend_settings.database_url,
        "select count(distinct xmin::text) from mqtt_config_revisions where revision = 2",
    )
    assert transactions < len(ids)


async def test_one_that_fails_in_a_group_fails_alone(
    backend_settings: BackendSettings, cases: Usecases
) -> None:
    """By a rule of the database that nothing before it knows, and by a revision that has moved."""
    ids = [await _product(cases, f"p{n}") for n in range(8)]
    # In this loop: it waits for locks of marks that end in this loop.
    await fetch_value(
        backend_settings.database_url,
        "alter table mqtt_configs add constraint no_thirteen check (keep_alive <> 13)",
    )
    writes = [WRITE] * 6 + [Write(actor="ann", if_match=9), WRITE]
    values = [20, 21, 13, 23, 24, 25, 26, 13]
    results = await asyncio.gather(
        *(cases.put_config(i, _broker(keep_alive=v), w) for i, v, w in zip(ids, values, writes, strict=True)),
        return_exceptions=True,
    )
    kinds: list[type[Exception] | None] = [InvalidInputError if v == 13 else None for v in values]
    kinds[6] = RevisionMismatchError
    for i, value, kind, result in zip(ids, values, kinds, results, strict=True):
        stored = await _stored(cases, i)
        if kind:
            assert isinstance(result, kind)
            assert (stored.revision, stored.broker.keep_alive) == (1, 60)
        else:
            assert (stored.revision, stored.broker.keep_alive) == (2, value)


async def test_many_writers_of_many_products_on_two_replicas(
    backend_settings: BackendSettings, cases: Usecases, other: Usecases
) -> None:
    """Groups that overlap in every order: each success is one revision, and no field gets lost."""
    ids = [await _product(cases, f"p{n}") for n in range(6)]

    async def write(side: Usecases, order: list[int], field: str) -> None:
        for n in range(12):
            for i in order:
                fields = {"keep_alive": 20 + n} if field == "keep_alive" else {"username": f"u{n}"}
                await side.put_config(i, _broker(**fields), WRITE)

    await asyncio.gather(
        *(write(cases, ids[k:] + ids[:k], "keep_alive") for k in range(2)),
        *(write(other, [*reversed(ids[k:] + ids[:k])], "username") for k in range(2)),
    )
    for i in ids:
        stored = await _stored(cases, i)
        assert (stored.broker.keep_alive, stored.broker.username) == (31, "u11")
        rows = (await cases.list_revisions(i, 200, None)).items
        assert [row.revision for row in rows] == list(range(stored.revision, 0, -1))
        assert all(new.before == old.after for new, old in itertools.pairwise(rows))

    async def all_published() -> bool:
        return not await fetch_value(
            backend_settings.database_url,
            "select count(*) from mqtt_configs where published_revision < revision",
        )

    await eventually(all_published)


async def test_postgresql_killed_in_the_middle_of_writes(
    backend_settings: BackendSettings, own_postgres: Postgres, own_database_url: str
) -> None:
    """What was answered is there afterwards; what was not is there whole or not at all."""
    settings = structs.replace(backend_settings, database_url=own_database_url)
    answered = dict[int, int]()
    async with open_backend(settings) as backend:
        cases = backend.usecases
        ids = [await _product(cases, f"p{n}") for n in range(6)]
        stop = asyncio.Event()

        async def write(product_id: int) -> None:
            n = 0
            while not stop.is_set():
                n += 1
                topics = TopicsInput(pattern=f"p{n}") if n % 3 == 0 else UNSET
                new = structs.replace(_broker(keep_alive=10 + n % 3000), topics=topics)
                try:
                    answered[product_id] = (await cases.put_config(product_id, new, WRITE)).revision
                except UnavailableError:
                    await asyncio.sleep(0.05)

        writing = [asyncio.create_task(write(i)) for i in ids]
        await asyncio.sleep(0.3)
        await asyncio.to_thread(own_postgres.kill)
        await asyncio.to_thread(own_postgres.start)
        before = dict(answered)

        async def goes_on() -> bool:
            return all(answered[i] > before[i] for i in ids)

        await eventually(goes_on)
        stop.set()
        await asyncio.gather(*writing)
        for i in ids:
            stored = await _stored(cases, i)
            assert stored.revision == answered[i]
            rows = (await cases.list_revisions(i, 5000, None)).items
            assert [row.revision for row in rows] == list(range(stored.revision, 0, -1))
            assert all(new.before == old.after for new, old in itertools.pairwise(rows))
        assert not backend.died.done()
