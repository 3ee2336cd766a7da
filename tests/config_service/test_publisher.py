"""A committed change reaches the bucket, whatever happens, and nothing older ever stays there."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest
from msgspec import structs

from config_service.backend import open_backend
from config_service.background import Background
from config_service.core import snapshots
from config_service.core.errors import UnavailableError
from config_service.core.inputs import BrokerInput, ConfigInput, ProductInput, SubscriptionInput
from config_service.core.model import Write
from config_service.core.publication import Publication, Sealed
from config_service.core.state import stored
from config_service.marks import Marks
from config_service.reconciler import Offers
from config_service.sealer import seal
from config_service.vault import Vault
from mqtt_shared import bus, messages, sealing
from tests.support.servers import execute, fetch_value
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from config_service.backend import Backend, BackendSettings
    from deploy.local.nats import Nats

WRITE = Write(actor="ann")


def _config(host: str = "mqtt.example.com", password: str = "made-up") -> ConfigInput:
    return ConfigInput(broker=BrokerInput(host=host, password=password))


@pytest.fixture
async def nats(backend_settings: BackendSettings) -> AsyncIterator[Any]:
    """A client of the test's own."""
    client: Any = await bus.connect(backend_settings.nats_url, "test")
    yield client
    await client.close()


class Product:
    """A product, and its key in the bucket as an instance sees it."""

    def __init__(self, settings: BackendSettings, nats: Any, product_id: int, key: str) -> None:
        self.id, self.key = product_id, key
        self.settings, self._jetstream = settings, nats.jetstream()
        self.subjects = settings.subjects

    async def opened(self) -> sealing.Opened | None:
        try:
            message = await self._jetstream.get_last_msg(
                self.subjects.bucket_stream, self.subjects.config(self.id)
            )
        except Exception as error:
            if "NotFound" in type(error).__name__:
                return None
            raise
        return sealing.open_snapshot(message.data, self.key) if message.data else None

    async def revision(self) -> int:
        opened = await self.opened()
        return opened.snapshot.revision if opened else 0

    async def published(self) -> int:
        return await fetch_value(
            self.settings.database_url,
            "select coalesce((select published_revision from mqtt_configs where product_id = $1),"
            " (select published_revision from mqtt_config_tombstones where product_id = $1))",
            self.id,
        )

    async def reaches(self, revision: int) -> None:
        async def reached() -> bool:
            return (await self.revision(), await self.published()) == (revision, revision)

        await eventually(reached)


async def _product(backend: Backend, settings: BackendSettings, nats: Any, name: str = "shop") -> Product:
    made, key = await backend.usecases.create_product(ProductInput(name=name), WRITE)
    await backend.usecases.put_config(made.id, _config(), WRITE)
    return Product(settings, nats, made.id, key)


@pytest.fixture
async def product(backend: Backend, backend_settings: BackendSettings, nats: Any) -> Product:
    """Published at revision 1."""
    product = await _product(backend, backend_settings, nats)
    await product.reaches(1)
    return product


async def test_a_write_is_published(backend: Backend, product: Product) -> None:
    actions = [{"type": "log", "config": {"big": 1e16, "zero": -0.0, "half": 1.5, "huge": 1e300}}]
    new = SubscriptionInput(name="orders", actions=actions)
    await backend.usecases.create_subscription(product.id, new, WRITE)
    await product.reaches(2)
    opened = await product.opened()
    assert opened
    assert opened.secrets.password == "made-up"
    assert opened.snapshot.subscriptions[0].topic.endswith("/orders")
    assert "made-up" not in str(opened.snapshot)
    digest = await fetch_value(
        product.settings.database_url, "select digest from mqtt_config_revisions where revision = 2"
    )
    assert opened.digest == digest


async def test_the_digest_holds_when_read_back(backend: Backend, product: Product) -> None:
    actions = [{"type": "log", "config": {"big": 1e16, "zero": -0.0, "half": 1.5, "huge": 1e300}}]
    await backend.usecases.create_subscription(
        product.id, SubscriptionInput(name="orders", actions=actions), WRITE
    )
    await product.reaches(2)
    before = await product.opened()
    await _empty(product)
    await product.reaches(2)
    after = await product.opened()
    assert before
    assert after
    assert before.digest == after.digest


async def _empty(product: Product) -> None:
    jetstream: Any = product._jetstream  # pyright: ignore[reportPrivateUsage] - of this module
    await jetstream.purge_stream(product.subjects.bucket_stream)


async def test_an_emptied_bucket_is_refilled(backend: Backend, product: Product) -> None:
    await _empty(product)
    await product.reaches(1)
    assert not backend.died.done()


async def test_a_deleted_bucket_is_made_again(product: Product) -> None:
    jetstream: Any = product._jetstream  # pyright: ignore[reportPrivateUsage] - of this module
    await jetstream.delete_stream(product.subjects.bucket_stream)
    await product.reaches(1)


@pytest.mark.parametrize("payload", [b"", b"nonsense", b"altered", b"newer"])
async def test_a_written_key_is_put_right(nats: Any, product: Product, payload: bytes) -> None:
    opened = await product.opened()
    assert opened
    snapshot = opened.snapshot
    if payload == b"altered":
        payload = messages.encode(structs.replace(snapshot, issued_by="eve", topics=None))
    if payload == b"newer":
        payload = messages.encode(structs.replace(snapshot, revision=99))
    headers = None if payload else {"KV-Operation": "DEL"}
    await nats.publish(product.subjects.config(product.id), payload, headers=headers)
    await nats.flush()

    async def right() -> bool:
        try:
            found = await product.opened()
        except (messages.MalformedMessageError, sealing.UnsealError):
            return False
        return found is not None and found.digest == opened.digest

    await eventually(right)


async def test_a_crash_between_commit_and_publish(
    backend: Backend, backend_settings: BackendSettings, product: Product
) -> None:
    """The rows are there, nobody was told: the next process finds what is behind."""
    await backend.background.close()
    await backend.usecases.put_config(product.id, _config("b.example.com"), WRITE)
    assert (await product.revision(), await product.published()) == (1, 1)
    async with open_backend(backend_settings):
        await product.reaches(2)


async def test_a_mark_that_got_lost(product: Product, nats: Any) -> None:
    """The bucket has it and PostgreSQL does not know: it is noted, and not put once more."""
    await asyncio.sleep(0.3)  # the publisher looks once more at what it heard
    heard = await nats.subscribe(product.subjects.config(product.id))
    await nats.flush()
    execute(product.settings.database_url, "update mqtt_configs set published_revision = 0")
    await product.reaches(1)
    with pytest.raises(TimeoutError):
        await heard.next_msg(timeout=0.3)


async def test_a_mark_is_not_taken_back_by_an_older_one(backend: Backend, product: Product) -> None:
    await backend.usecases.put_config(product.id, _config("b.example.com"), WRITE)
    await product.reaches(2)
    key_id = sealing.key_id(product.key)
    old, new = (
        Sealed(product_id=product.id, revision=revision, payload=b"", key_id=key_id) for revision in (1, 2)
    )
    await backend.background.close()  # no reconciler
    execute(product.settings.database_url, "update mqtt_configs set published_revision = 0")
    background, marked = Background(), asyncio.Event()
    marks = Marks(backend.store, background, on_marked=lambda _: marked.set())
    marks.note(new)
    marks.note(old)
    await asyncio.wait_for(marked.wait(), 20)
    assert await product.published() == 2
    await background.close()


async def test_nats_away_and_back(backend_settings: BackendSettings, own_nats: Nats) -> None:
    settings = structs.replace(backend_settings, nats_url=own_nats.url)
    client: Any = await bus.connect(own_nats.url, "test")
    try:
        async with open_backend(settings) as backend:
            product = await _product(backend, settings, client)
            await product.reaches(1)
            await asyncio.to_thread(own_nats.kill)
            await eventually(lambda: not backend.link.is_up)
            await backend.usecases.put_config(product.id, _config("b.example.com"), WRITE)
            assert "nats" in await backend.readiness.down()
            with pytest.raises(UnavailableError):
                await backend.usecases.reconnect(product.id, "ann")
            await asyncio.to_thread(own_nats.start)
            await product.reaches(2)
    finally:
        await client.close()


async def test_nats_away_at_start(backend_settings: BackendSettings, own_nats: Nats) -> None:
    settings = structs.replace(backend_settings, nats_url=own_nats.url)
    await asyncio.to_thread(own_nats.kill)
    async with open_backend(settings) as backend:
        made, key = await backend.usecases.create_product(ProductInput(name="shop"), WRITE)
        await backend.usecases.put_config(made.id, _config(), WRITE)
        await asyncio.to_thread(own_nats.start)
        client: Any = await bus.connect(own_nats.url, "test")
        await Product(settings, client, made.id, key).reaches(1)
        await client.close()


async def test_racing_publishers_never_leave_an_older_revision(
    backend: Backend, backend_settings: BackendSettings, product: Product, nats: Any
) -> None:
    """Three replicas write and publish at once: revisions in the bucket only rise, the newest stays."""
    seen = list[int]()

    async def note(message: Any) -> None:
        seen.append(messages.decode(message.data, messages.Snapshot).revision)

    jetstream: Any = nats.jetstream()
    stream = backend_settings.subjects.bucket_stream
    subscription = await jetstream.subscribe(
        backend_settings.subjects.config(product.id), stream=stream, ordered_consumer=True, cb=note
    )
    async with AsyncExitStack() as stack:
        replicas = [backend]
        for _ in range(2):
            replicas.append(await stack.enter_async_context(open_backend(backend_settings)))
        for n in range(8):
            await asyncio.gather(
                *(
                    side.usecases.put_config(product.id, _config(f"h{n}-{number}.example.com"), WRITE)
                    for number, side in enumerate(replicas)
                )
            )
        await product.reaches(25)
    await subscription.unsubscribe()
    assert seen == sorted(seen)


async def test_removal_leaves_a_tombstone(backend: Backend, product: Product) -> None:
    await backend.usecases.delete_config(product.id, WRITE)
    await product.reaches(2)
    opened = await product.opened()
    assert opened
    assert opened.snapshot.broker is None
    await _empty(product)
    await product.reaches(2)
    await backend.usecases.put_config(product.id, _config(), WRITE)
    await product.reaches(3)


async def test_a_deleted_product_leaves_a_tombstone(backend: Backend, product: Product) -> None:
    await backend.usecases.delete_product(product.id, WRITE)
    await product.reaches(2)
    await _empty(product)
    await product.reaches(2)
    opened = await product.opened()
    assert opened
    assert opened.snapshot.broker is None


async def test_a_new_product_key(backend: Backend, product: Product) -> None:
    """The old key opens until the instances have the new one; revision and digest stay."""
    before = await product.opened()
    old = product.key
    new = await backend.usecases.renew_product_key(product.id, WRITE)

    async def both() -> bool:
        opened = await product.opened()
        return bool(opened and opened.snapshot.sealed_previous)

    await eventually(both)
    product.key = new
    after = await product.opened()
    assert before
    assert after
    assert (after.digest, after.snapshot.revision) == (before.digest, 1)
    await product.reaches(1)
    execute(
        product.settings.database_url,
        "insert into mqtt_instances (product_id, instance_id, state, boot_id, seq, started_at, sent_at,"
        " last_heartbeat_at, interval_seconds, connected, key_id)"
        f" values ({product.id}, 'i1', 'live', 'b', 1, now(), now(), now(), 5, true,"
        f" '{sealing.key_id(old)}')",
    )
    assert (await backend.usecases.get_product(product.id)).previous_product_key_id
    execute(product.settings.database_url, f"update mqtt_instances set key_id = '{sealing.key_id(new)}'")

    async def ended() -> bool:
        opened = await product.opened()
        return bool(opened and not opened.snapshot.sealed_previous)

    await eventually(ended)
    product.key = old
    with pytest.raises(sealing.UnsealError):
        await product.opened()


async def test_reconnect_counts_the_instances_that_answered(
    backend: Backend, product: Product, nats: Any
) -> None:
    async def answer(message: Any) -> None:
        for name, accepted in (("i1", True), ("i2", True), ("i3", False), ("i1", True)):
            reply = messages.CommandReply(instance_id=name, accepted=accepted)
            await message.respond(messages.encode(reply))

    assert await backend.usecases.reconnect(product.id, "ann") == 0
    execute(
        product.settings.database_url,
        *(
            "insert into mqtt_instances (product_id, instance_id, state, boot_id, seq, started_at, sent_at,"
            " last_heartbeat_at, interval_seconds, connected)"
            f" values ({product.id}, '{name}', 'live', 'b', 1, now(), now(), now(), 5, true)"
            for name in ("i1", "i2", "i3")
        ),
    )
    await nats.subscribe(product.subjects.command(product.id), cb=answer)
    await nats.flush()
    assert await backend.usecases.reconnect(product.id, "ann") == 2


async def test_a_heartbeat_over_http_goes_the_same_way(backend: Backend, product: Product, nats: Any) -> None:
    subscription = await nats.subscribe(product.subjects.heartbeats)
    await nats.flush()
    at = (await backend.usecases.get_product(product.id)).created_at
    beat = messages.Heartbeat(
        product_id=product.id, instance_id="i1", boot_id="b1", seq=1, sent_at=at, started_at=at
    )
    await backend.usecases.report_heartbeat(product.id, beat)
    message = await subscription.next_msg(timeout=2)
    assert messages.decode(message.data, messages.Heartbeat) == beat
    assert message.subject == product.subjects.heartbeat(product.id, "i1", "b1")


async def test_a_status_message_wakes_who_waits(backend: Backend, product: Product, nats: Any) -> None:
    with backend.link.watch(product.id) as changed:
        await nats.publish(product.subjects.status(product.id), b"{}")
        async with asyncio.timeout(2):
            await changed.wait()


async def test_a_late_publisher_cannot_go_back(
    backend: Backend, backend_settings: BackendSettings, product: Product
) -> None:
    """It holds revision 1 and a sequence of before; meanwhile another one has published revision 2."""
    store, publisher = backend.store, backend.publisher
    rows = await store.one("read_publication", Publication, product.id)
    assert rows
    assert rows.product
    assert rows.config
    assert rows.issued
    wanted = stored(rows.product, rows.config, rows.subscriptions, rows.secrets)
    snapshot = snapshots.build(product.id, 1, wanted, at=rows.issued.at, by=rows.issued.by)
    late = seal(Vault(backend_settings.keys), rows.product, wanted, snapshot)
    known: dict[int, tuple[int, int]] = publisher._known  # pyright: ignore[reportPrivateUsage] - the race
    sequence, _ = known[product.id]
    await backend.usecases.put_config(product.id, _config("b.example.com"), WRITE)
    await product.reaches(2)
    known[product.id] = (sequence, 0)
    assert await publisher.publish(product.id, late)
    assert await product.revision() == 2


@pytest.mark.parametrize("condition", ["instances_drifted", "instances_pending"])
async def test_an_instance_that_is_left_behind_gets_its_snapshot_again(
    backend: Backend, product: Product, nats: Any, condition: str
) -> None:
    await product.reaches(1)
    await asyncio.sleep(0.3)  # the publisher looks once more at what it heard
    heard = await nats.subscribe(product.subjects.config(product.id))
    await nats.flush()
    execute(
        product.settings.database_url,
        f"insert into mqtt_connection_status (product_id, desired_revision, {condition})"
        f" values ({product.id}, 1, 1)",
    )
    with pytest.raises(TimeoutError):
        await heard.next_msg(timeout=0.5)  # it is given some time
    execute(
        product.settings.database_url,
        "update mqtt_config_revisions set changed_at = now() - interval '1 minute'",
    )
    message = await heard.next_msg(timeout=5)
    assert sealing.open_snapshot(message.data, product.key).snapshot.revision == 1
    with pytest.raises(TimeoutError):
        await heard.next_msg(timeout=1)  # not at each look


def test_offers_become_rarer_and_begin_anew() -> None:
    offers = Offers(30, 100)
    assert offers.due([1, 2], 0) == [1, 2]
    assert offers.due([1, 2], 29) == []
    assert offers.due([1, 2], 30) == [1, 2]
    assert offers.due([1, 2, 3], 89) == [3]
    assert offers.due([1], 90) == [1]
    assert offers.due([1], 189) == []
    assert offers.due([], 190) == []
    assert offers.due([1], 190) == [1]
    assert len(offers.due(list(range(1000)), 1000)) == 16
