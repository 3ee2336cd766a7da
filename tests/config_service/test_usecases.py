"""Each use case, on real PostgreSQL and NATS."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from config_service.backend import open_backend
from config_service.core import errors
from config_service.core.inputs import (
    BrokerInput,
    ConfigInput,
    PartialBrokerInput,
    ProductInput,
    ProductPatch,
    SubscriptionInput,
    SubscriptionPatch,
    TestInput,
    TokenInput,
    TopicsInput,
)
from config_service.core.model import Change, Write
from mqtt_shared import sealing
from tests.support.servers import execute, fetch_value
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from config_service.backend import Backend, BackendSettings
    from config_service.usecases import Usecases

WRITE = Write(actor="ann")
DRY = Write(actor="ann", dry_run=True)
CONFIG = ConfigInput(
    broker=BrokerInput(host="mqtt.example.com", username="bre", password="made-up"),
    topics=TopicsInput(qos=1),
)


@pytest.fixture
def cases(backend: Backend) -> Usecases:
    return backend.usecases


@pytest.fixture
async def product_id(cases: Usecases) -> int:
    """A product with a configuration at revision 1."""
    product, _ = await cases.create_product(
        ProductInput(name="shop", variables={"application_id": "a1"}), WRITE
    )
    await cases.put_config(product.id, CONFIG, WRITE)
    return product.id


async def _subscribe(cases: Usecases, product_id: int, name: str, **fields: Any) -> int:
    change = await cases.create_subscription(product_id, SubscriptionInput(name=name, **fields), WRITE)
    return change.value.id


# --- products


async def test_product_life(cases: Usecases) -> None:
    product, key = await cases.create_product(ProductInput(name="one", description="d"), WRITE)
    assert product.product_key_id == sealing.key_id(key)
    assert await cases.get_product(product.id) == product
    changed = await cases.update_product(product.id, ProductPatch(name="uno"), WRITE)
    assert (changed.value.name, changed.revision) == ("uno", 0)
    with pytest.raises(errors.NameTakenError):
        await cases.create_product(ProductInput(name="uno"), WRITE)
    await cases.delete_product(product.id, WRITE)
    with pytest.raises(errors.NotFoundError):
        await cases.get_product(product.id)


async def test_products_are_paged_and_limited(cases: Usecases) -> None:
    ids = [(await cases.create_product(ProductInput(name=f"p{n}"), WRITE))[0].id for n in range(3)]
    first = await cases.list_products(2, None)
    rest = await cases.list_products(2, first.next_cursor)
    assert [product.id for product in [*first.items, *rest.items]] == ids
    assert rest.next_cursor is None
    assert [product.id for product in (await cases.list_products(9, None, only=ids[1:2])).items] == ids[1:2]
    with pytest.raises(errors.InvalidInputError):
        await cases.list_products(2, "x")


async def test_changed_variables_make_a_revision(cases: Usecases, product_id: int) -> None:
    await _subscribe(cases, product_id, "orders")
    change = await cases.update_product(
        product_id, ProductPatch(name="new", variables={"application_id": "a2"}), WRITE
    )
    assert change.revision == 3
    assert change.effect.unsubscribe == ["$share/bre//v3/applications/a1/business-events/orders"]
    assert change.effect.subscribe == ["$share/bre//v3/applications/a2/business-events/orders"]
    product = await cases.get_product(product_id)
    assert (product.name, product.variables) == ("new", {"application_id": "a2"})


async def test_a_value_that_breaks_a_topic_is_refused(cases: Usecases, product_id: int) -> None:
    await _subscribe(cases, product_id, "orders")
    with pytest.raises(errors.InvalidInputError, match="once the values of"):
        await cases.update_product(product_id, ProductPatch(variables={"application_id": "a#"}), WRITE)


# --- configuration


async def test_not_configured(cases: Usecases) -> None:
    product, _ = await cases.create_product(ProductInput(name="bare"), WRITE)
    answer = await cases.get_config(product.id)
    assert (answer.mqtt_config, answer.revision) == (None, None)
    assert answer.message == "MQTT not configured for this product"
    with pytest.raises(errors.NotConfiguredError):
        await _subscribe(cases, product.id, "orders")
    with pytest.raises(errors.NotFoundError):
        await cases.get_config(999)
    with pytest.raises(errors.NotFoundError):
        await cases.get_config(2**40)


async def test_config_is_merged(cases: Usecases, product_id: int) -> None:
    change = await cases.put_config(product_id, ConfigInput(broker=BrokerInput(host="b.example.com")), WRITE)
    config = change.value
    assert (config.broker.host, config.broker.username, config.broker.password) == (
        "b.example.com",
        "bre",
        "***",
    )
    assert (change.revision, change.effect.connection) == (2, "replace")
    assert (await cases.get_config(product_id)).mqtt_config == config


@pytest.mark.parametrize(
    ("given", "stored"),
    [("", "***"), ("***", "***"), (msgspec.UNSET, "***"), (None, None), ("other", "***")],
)
async def test_password_rules(cases: Usecases, product_id: int, given: Any, stored: str | None) -> None:
    new = ConfigInput(broker=BrokerInput(host="mqtt.example.com", password=given))
    change = await cases.put_config(product_id, new, WRITE)
    assert change.value.broker.password == stored
    assert change.revision == (2 if given in (None, "other") else 1)
    wanted = await cases.settings_to_test(product_id, TestInput())
    assert wanted.secrets.password == {None: None, "other": "other"}.get(given, "made-up")
    assert wanted.broker.host == "mqtt.example.com"


async def test_a_stored_password_goes_to_the_stored_host_only(cases: Usecases, product_id: int) -> None:
    for given in (PartialBrokerInput(host="evil.example.com"), PartialBrokerInput(port=1884, password="***")):
        wanted = await cases.settings_to_test(product_id, TestInput(broker=given))
        assert wanted.secrets.password is None


async def test_filters_to_test(cases: Usecases, product_id: int) -> None:
    await _subscribe(cases, product_id, "orders")
    await _subscribe(cases, product_id, "elsewhere", topic="x/{unknown}")
    await _subscribe(cases, product_id, "off", enabled=False)
    wanted = await cases.settings_to_test(product_id, TestInput(topics=TopicsInput(qos=2)))
    filters = wanted.filters
    assert filters == {"$share/bre//v3/applications/a1/business-events/orders": 2}


async def test_nothing_changed_makes_no_revision(cases: Usecases, product_id: int) -> None:
    change = await cases.put_config(product_id, CONFIG, WRITE)
    assert change.revision == 1
    assert len((await cases.list_revisions(product_id, 10, None)).items) == 1


async def test_dry_run_writes_nothing(cases: Usecases, product_id: int) -> None:
    before = await cases.get_config(product_id)
    change = await cases.put_config(product_id, ConfigInput(broker=BrokerInput(host="b.example.com")), DRY)
    await cases.create_subscription(product_id, SubscriptionInput(name="orders"), DRY)
    for dry in (await cases.delete_config(product_id, DRY), await cases.delete_product(product_id, DRY)):
        assert (dry.effect.connection, dry.revision) == ("close", before.revision)
    await cases.renew_product_key(product_id, DRY)
    assert change.effect.connection == "replace"
    assert await cases.get_config(product_id) == before


async def test_if_match(cases: Usecases, product_id: int) -> None:
    with pytest.raises(errors.RevisionMismatchError) as refused:
        await cases.put_config(product_id, CONFIG, Write(actor="ann", if_match=7))
    assert refused.value.current == 1


@pytest.mark.parametrize(
    "host",
    ["mqtt://x.example.com", "x.example.com:1883", "a b", "[::1]", "-x", "a..b", "x/y", "fe80::1%eth0"],
)
async def test_bad_hosts(cases: Usecases, product_id: int, host: str) -> None:
    with pytest.raises(errors.InvalidInputError) as refused:
        await cases.put_config(product_id, ConfigInput(broker=BrokerInput(host=host)), WRITE)
    assert [fault.loc for fault in refused.value.faults] == [["body", "broker", "host"]]


@pytest.mark.parametrize("host", ["::1", "10.0.0.1", "mqtt_1", "müller.example.com", "a.b.c."])
async def test_good_hosts(cases: Usecases, product_id: int, host: str) -> None:
    new = ConfigInput(broker=BrokerInput(host=host))
    assert (await cases.put_config(product_id, new, WRITE)).value.broker.host == host


async def test_all_faults_at_once(cases: Usecases, product_id: int) -> None:
    new = ConfigInput(
        broker=BrokerInput(host="a b"),
        topics=TopicsInput(prefix="a/#", pattern="{", use_shared=True, shared_group=None),
    )
    with pytest.raises(errors.InvalidInputError) as refused:
        await cases.put_config(product_id, new, WRITE)
    assert {".".join(map(str, fault.loc)) for fault in refused.value.faults} == {
        "body.broker.host",
        "body.topics.shared_group",
        "body.topics.prefix",
        "body.topics.pattern",
    }


async def test_removed_and_made_again(cases: Usecases, product_id: int) -> None:
    assert (await cases.delete_config(product_id, WRITE)).revision == 2
    answer = await cases.get_config(product_id)
    assert (answer.mqtt_config, answer.revision) == (None, 2)
    with pytest.raises(errors.NotFoundError):
        await cases.delete_config(product_id, WRITE)
    assert (await cases.put_config(product_id, CONFIG, WRITE)).revision == 3
    assert [row.revision for row in (await cases.list_revisions(product_id, 10, None)).items] == [3, 2, 1]


# --- subscriptions


async def test_subscription_life(cases: Usecases, product_id: int) -> None:
    made = await cases.create_subscription(product_id, SubscriptionInput(name="new_orders"), WRITE)
    assert made.value.topic == "/v3/applications/{application_id}/business-events/new-orders"
    assert made.value.topic_derived
    found, revision = await cases.get_subscription(product_id, made.value.id)
    assert (found, revision) == (made.value, 2)
    patch = SubscriptionPatch(topic="a/+", actions=[{"type": "log", "config": {"n": 1e16}}])
    changed = await cases.update_subscription(product_id, found.id, patch, WRITE)
    assert (await cases.get_subscription(product_id, found.id))[0] == changed.value
    assert changed.effect.subscribe == ["$share/bre/a/+"]
    assert changed.effect.actions_changed == ["new_orders"]
    assert (await cases.delete_subscription(product_id, found.id, WRITE)).revision == 4
    with pytest.raises(errors.NotFoundError):
        await cases.get_subscription(product_id, found.id)


async def test_the_effect_names_the_subscriptions(cases: Usecases, product_id: int) -> None:
    def told(change: Change[Any]) -> tuple[list[str], list[str], list[str]]:
        return change.effect.added, change.effect.removed, change.effect.resubscribed

    one = await _subscribe(cases, product_id, "one")
    added = await cases.create_subscription(product_id, SubscriptionInput(name="two"), WRITE)
    assert told(added) == (["two"], [], [])
    renamed = await cases.update_subscription(product_id, one, SubscriptionPatch(topic="a/b"), WRITE)
    assert told(renamed) == ([], [], ["one"])
    wide = await cases.create_subscription(product_id, SubscriptionInput(name="wide", topic="a/#"), WRITE)
    # The broker gives up a/b, which a/# covers now; the subscription goes on as it was.
    assert wide.effect.unsubscribe == ["$share/bre/a/b"]
    assert told(wide) == (["wide"], [], [])
    off = await cases.update_subscription(product_id, one, SubscriptionPatch(enabled=False), WRITE)
    assert told(off) == ([], ["one"], [])
    other_qos = msgspec.structs.replace(CONFIG, topics=TopicsInput(qos=2))
    qos = await cases.put_config(product_id, other_qos, WRITE)
    assert told(qos) == ([], [], ["two", "wide"])
    elsewhere = ConfigInput(broker=BrokerInput(host="other.example.com"))
    moved = await cases.put_config(product_id, elsewhere, WRITE)
    assert (moved.effect.connection, *told(moved)) == ("replace", [], [], [])


async def test_subscription_names(cases: Usecases, product_id: int) -> None:
    await _subscribe(cases, product_id, "one")
    two = await _subscribe(cases, product_id, "two")
    with pytest.raises(errors.NameTakenError):
        await _subscribe(cases, product_id, "one")
    with pytest.raises(errors.NameTakenError):
        await cases.update_subscription(product_id, two, SubscriptionPatch(name="one"), WRITE)
    with pytest.raises(errors.InvalidInputError):
        await _subscribe(cases, product_id, "line\n")


async def test_bad_topic_is_at_its_place(cases: Usecases, product_id: int) -> None:
    with pytest.raises(errors.InvalidInputError) as refused:
        await _subscribe(cases, product_id, "one", topic="a/#/b")
    assert [fault.loc for fault in refused.value.faults] == [["body", "topic"]]


async def test_subscriptions_are_paged(cases: Usecases, product_id: int) -> None:
    ids = [await _subscribe(cases, product_id, name) for name in ("a", "b", "c")]
    first = await cases.list_subscriptions(product_id, 2, None, live=False)
    rest = await cases.list_subscriptions(product_id, 2, first.next_cursor)
    assert [item.id for item in [*first.items, *rest.items]] == ids
    assert first.items[0].stats is None


# --- history


async def test_history_diff_and_restore(cases: Usecases, product_id: int) -> None:
    orders = await _subscribe(cases, product_id, "orders", actions=[{"type": "log"}])
    other = ConfigInput(
        broker=BrokerInput(host="b.example.com", password="changed"), topics=TopicsInput(qos=2)
    )
    await cases.put_config(product_id, other, WRITE)
    await cases.delete_subscription(product_id, orders, WRITE)
    row = await cases.get_revision(product_id, 2)
    assert (row.changed_by, row.action) == ("ann", "create_subscription")
    assert row.before
    assert row.after
    assert "made-up" not in str(row)
    paths = {tuple(change.path) for change in await cases.diff_revisions(product_id, 4, 2)}
    assert paths == {("broker", "host"), ("topics", "qos"), ("subscriptions", "orders")}
    change = await cases.restore_revision(product_id, 2, WRITE)
    assert (change.revision, change.value.broker.host, change.value.topics.qos) == (5, "mqtt.example.com", 1)
    answer = await cases.get_config(product_id)
    assert [item.name for item in answer.subscriptions or []] == ["orders"]
    assert (await cases.settings_to_test(product_id, TestInput())).secrets.password == "made-up"


async def test_restore_after_removal(cases: Usecases, product_id: int) -> None:
    await cases.delete_config(product_id, WRITE)
    with pytest.raises(errors.InvalidInputError):
        await cases.restore_revision(product_id, 2, WRITE)
    assert (await cases.restore_revision(product_id, 1, WRITE)).revision == 3
    with pytest.raises(errors.NotFoundError):
        await cases.restore_revision(product_id, 99, WRITE)


async def test_restore_swaps_names_back(cases: Usecases, product_id: int) -> None:
    one, two = await _subscribe(cases, product_id, "one"), await _subscribe(cases, product_id, "two")
    for subscription_id, name in ((one, "spare"), (two, "one"), (one, "two")):
        await cases.update_subscription(product_id, subscription_id, SubscriptionPatch(name=name), WRITE)
    await cases.restore_revision(product_id, 3, WRITE)
    answer = await cases.get_config(product_id)
    assert {item.id: item.name for item in answer.subscriptions or []} == {one: "one", two: "two"}


# --- files


async def test_export_and_import(cases: Usecases, product_id: int) -> None:
    await _subscribe(cases, product_id, "orders", actions=[{"type": "log"}])
    document = await cases.export_config(product_id)
    assert "made-up" not in str(document)
    other, _ = await cases.create_product(ProductInput(name="copy"), WRITE)
    change = await cases.import_config(other.id, document, WRITE)
    assert change.revision == 1
    copied = await cases.export_config(other.id)
    assert {**copied, "product": "", "revision": 0} == {**document, "product": "", "revision": 0}
    assert (await cases.import_config(product_id, document, WRITE)).revision == 2


LEGACY: dict[str, Any] = {
    "configuration": {
        "qos": 2,
        "clean_session": False,
        "shared_subscription": True,
        "shared_group_prefix": "$share/team/",
    },
    "events": [
        {
            "name": "created",
            "description": "x",
            "topic": "a/b",
            "enabled": True,
            "actions": [
                {"name": "m", "type": "conditional_email", "conditions": {"a": "ANY"}, "email": {"to": "x"}},
                {"type": "activate_policy"},
            ],
        }
    ],
}


async def test_legacy_file(cases: Usecases, product_id: int) -> None:
    await _subscribe(cases, product_id, "kept")
    change = await cases.import_config(product_id, LEGACY, WRITE)
    config = change.value.mqtt_config
    assert config
    assert (config.topics.qos, config.topics.shared_group, config.broker.clean_session) == (2, "team", False)
    kept, created = change.value.subscriptions or []
    assert (kept.name, created.name) == ("kept", "created")
    assert created.actions[0]["config"] == {"to": "x"}
    assert [action["type"] for action in created.actions] == ["conditional_email", "activate_policy"]


async def test_a_bad_legacy_file_imports_nothing(cases: Usecases, product_id: int) -> None:
    event = LEGACY["events"][0]
    document = {
        "configuration": {"qos": 1, "nonsense": 1},
        "events": [event, {**event, "topic": "a/#/b"}, {"name": "Bad Name"}],
    }
    with pytest.raises(errors.InvalidInputError) as refused:
        await cases.import_config(product_id, document, WRITE)
    found = {(fault.loc[-1], fault.type) for fault in refused.value.faults}
    assert {("nonsense", "unknown_field"), ("name", "duplicate_name"), ("topic", "topic")} <= found
    assert (await cases.get_config(product_id)).revision == 1


# --- tokens


async def test_tokens(cases: Usecases, product_id: int, backend_settings: BackendSettings) -> None:
    assert product_id == 1
    new = TokenInput(name="ci", role="operator", product_ids=[1])
    made, token = await cases.create_token(new, WRITE)
    principal = await cases.authenticate(token)
    assert principal
    assert (principal.name, principal.role, principal.product_ids) == ("ci", "operator", [1])
    assert await cases.authenticate("mqtt_wrong") is None
    assert [item.id for item in (await cases.list_tokens(5, None)).items] == [made.id]
    stored = await fetch_value(backend_settings.database_url, "select t::text from api_tokens t")
    assert token not in stored
    await cases.delete_token(made.id)
    assert await cases.authenticate(token) is None
    with pytest.raises(errors.NotFoundError):
        await cases.delete_token(made.id)


# --- concurrency


async def test_no_write_is_lost(backend: Backend, backend_settings: BackendSettings, product_id: int) -> None:
    """Two replicas, many writers: every write that succeeded is one revision, without gaps."""
    async with open_backend(backend_settings) as other:
        writers = [
            _subscribe(side.usecases, product_id, f"{name}{n}")
            for n in range(8)
            for name, side in (("a", backend), ("b", other))
        ]
        ids = await asyncio.gather(*writers)
    answer = await backend.usecases.get_config(product_id)
    assert {item.id for item in answer.subscriptions or []} == set(ids)
    history = (await backend.usecases.list_revisions(product_id, 100, None)).items
    assert [row.revision for row in history] == list(range(17, 0, -1))
    for newer, older in itertools.pairwise(history):
        assert newer.before == older.after


async def test_only_one_of_many_with_if_match(cases: Usecases, product_id: int) -> None:
    async def write(n: int) -> bool:
        new = ConfigInput(broker=BrokerInput(host=f"h{n}.example.com"))
        try:
            await cases.put_config(product_id, new, Write(actor="ann", if_match=1))
        except errors.RevisionMismatchError:
            return False
        return True

    assert sum(await asyncio.gather(*(write(n) for n in range(6)))) == 1


async def test_two_replicas_create_at_once(backend: Backend, backend_settings: BackendSettings) -> None:
    product, _ = await backend.usecases.create_product(ProductInput(name="race"), WRITE)
    async with open_backend(backend_settings) as other:
        changes = await asyncio.gather(
            *(
                side.usecases.put_config(product.id, ConfigInput(broker=BrokerInput(host=host)), WRITE)
                for side, host in ((backend, "a.example.com"), (other, "b.example.com"))
            )
        )
    assert sorted(change.revision for change in changes) == [1, 2]


# --- instances


def _instance(product_id: int, name: str, state: str = "live", **columns: object) -> str:
    values = {
        "product_id": product_id, "instance_id": name, "state": state, "boot_id": "b", "seq": 1,
        "interval_seconds": 5, "connected": True, "action_types": "{log}", **columns,
    }  # fmt: skip
    names = ", ".join(values)
    literals = ", ".join(f"'{value}'" for value in values.values())
    return (
        f"insert into mqtt_instances ({names}, started_at, sent_at, last_heartbeat_at) "
        f"values ({literals}, now(), now(), now())"
    )


async def test_instances_and_rollout(
    cases: Usecases, product_id: int, backend_settings: BackendSettings
) -> None:
    url = backend_settings.database_url
    digest = await fetch_value(url, "select digest from mqtt_config_revisions")
    execute(
        url,
        _instance(product_id, "i1", applied_revision=1, applied_digest=digest),
        _instance(product_id, "i2", applied_revision=1, applied_digest="other"),
        _instance(product_id, "i3", applied_revision=0, rejected_revision=1, rejected_error="no"),
        _instance(product_id, "i4"),
        _instance(product_id, "i5", "stopped"),
        _instance(product_id, "i6"),
        "update mqtt_instances set last_heartbeat_at = now() - interval '16 s' where instance_id = 'i6'",
    )
    rollout = await cases.get_rollout(product_id)
    assert [item.state for item in rollout.instances] == ["rejected", "drifted", "pending", "applied"]
    assert [item.error for item in rollout.instances] == ["no", None, None, None]
    assert [item.state for item in (await cases.get_rollout(product_id, 1)).instances] == ["rejected"]
    assert (rollout.total, rollout.applied, rollout.complete) == (4, 1, False)
    page = await cases.list_instances(product_id, 10, None)
    assert [item.state for item in page.items] == ["live"] * 4 + ["stopped", "stale"]
    assert (await cases.wait_for_rollout(product_id, 1, 0.05)).pending == 1
    execute(url, "update mqtt_instances set applied_revision = 1 where instance_id = 'i4'")
    assert (await cases.wait_for_rollout(product_id, 1, 5)).pending == 0


async def test_a_rollout_without_instances_is_complete_when_it_is_published(
    cases: Usecases, product_id: int, backend_settings: BackendSettings
) -> None:
    assert (await cases.wait_for_rollout(product_id, 1, 5)).complete
    execute(backend_settings.database_url, "update mqtt_configs set revision = 2")
    assert not (await cases.get_rollout(product_id)).complete


async def test_warnings(cases: Usecases, product_id: int, backend_settings: BackendSettings) -> None:
    execute(
        backend_settings.database_url,
        *(_instance(product_id, name, applied_revision=1) for name in ("i1", "i2")),
    )
    await _subscribe(cases, product_id, "one", topic="a/+", actions=[{"type": "log"}, {"type": "fax"}])
    await _subscribe(cases, product_id, "two", topic="a/{x}")
    new = ConfigInput(
        broker=BrokerInput(host="b.example.com", use_tls=True, verify_cert=False, client_id="fixed")
    )
    change = await cases.put_config(product_id, new, WRITE)
    assert {warning.type for warning in change.warnings} == {
        "tls_unverified",
        "clean_session",
        "client_id_shared",
        "unknown_variable",
        "unknown_action_type",
        "overlapping_topics",
    }
    assert change.effect.live_instances == 2


async def test_status_before_the_first_heartbeat(cases: Usecases, product_id: int) -> None:
    status = await cases.get_status(product_id)
    assert (status.product_id, status.connected, status.updated_at) == (product_id, None, None)


async def test_ready(backend: Backend) -> None:
    async def ready() -> bool:
        return await backend.readiness.down() == {}

    await eventually(ready)


async def test_a_third_product_key_is_refused_while_two_are_good(cases: Usecases, product_id: int) -> None:
    await cases.renew_product_key(product_id, WRITE)
    with pytest.raises(errors.KeyInUseError, match="end the previous key"):
        await cases.renew_product_key(product_id, WRITE)
    await cases.end_previous_product_key(product_id, WRITE)
    assert await cases.renew_product_key(product_id, WRITE)
