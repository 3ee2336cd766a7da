"""A new connection that is given up half way has its share of a group's messages: none of them is lost."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from msgspec import structs

from mqtt_shared.messages import Subscription
from tests.product_instance.conftest import applied, rejected
from tests.shared.dynsec import PASSWORD, USER, dynamic_security
from tests.support.proxy import TcpProxy
from tests.support.waiting import eventually

from .consumers import Kind, consumer, snapshot

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.servers import Servers

    from .cells import Place
    from .consumers import Consumer
    from .table import Row

_DELAY_SECONDS = 0.05
_ROUNDS = 8
_IDS = {"clean": None, "clean, own id": "{name}-{number}", "persistent": "{name}-{number}"}


async def _put(made: Consumer, port: int, number: int, *more: Subscription) -> None:
    """A revision that takes a new connection, under a client id of its own where it has one."""
    before = snapshot(made.control, made.kind, port, keep_alive=30 + number)
    assert before.broker
    client_id = _IDS[made.kind.session]
    broker = structs.replace(
        before.broker,
        client_id=client_id and client_id.format(name=made.control.root, number=number),
        clean_session=made.kind.session != "persistent",
    )
    changed = structs.replace(before, broker=broker, subscriptions=[*before.subscriptions, *more])
    await made.control.put(changed, made.kind.login and made.kind.login[1])


@pytest.mark.parametrize("session", _IDS)
async def test_a_newer_revision_comes_while_the_connection_for_one_subscribes(
    session: str, place: Place, nats_root: str, tmp_path: Path, record: Callable[[Row], None]
) -> None:
    kind = Kind(session=session, shared=True, protocol="3.1.1")
    async with (
        TcpProxy("127.0.0.1", place.port) as proxy,
        consumer(kind, nats_root, place.nats_url, proxy.port, tmp_path, load_port=place.port) as made,
    ):
        proxy.delay = _DELAY_SECONDS
        for number in range(_ROUNDS):
            accepted = proxy.accepted
            await _put(made, proxy.port, 2 * number)
            await eventually(lambda known=accepted: proxy.accepted > known)
            # CONNECT, CONNACK and SUBSCRIBE are through by then, SUBACK is not.
            await asyncio.sleep(3.5 * _DELAY_SECONDS)
            await _put(made, proxy.port, 2 * number + 1)
            assert made.instance
            await applied(made.instance, made.control.revision)
        proxy.delay = 0
        await made.books.settle()
        row = made.books.row("given up while it subscribes", **kind.words)
    record(row)
    assert row.sent > 100
    assert not row.lost


@pytest.mark.parametrize("session", _IDS)
async def test_a_new_connection_is_refused_one_of_its_filters(
    session: str,
    place: Place,
    own_servers: Servers,
    nats_root: str,
    tmp_path: Path,
    record: Callable[[Row], None],
) -> None:
    """It holds the others by then, and the group deals it messages that wait for their acknowledgement."""
    allowed = [f"$share/{nats_root}/{nats_root}/{each}" for each in ("steady", "other")]
    broker = own_servers.mosquitto(*dynamic_security(tmp_path, allowed))
    kind = Kind(session=session, shared=True, protocol="3.1.1", login=(USER, PASSWORD))
    forbidden = Subscription(id=3, name="s3", topic=f"{nats_root}/forbidden")
    async with (
        TcpProxy("127.0.0.1", broker.port) as proxy,
        consumer(kind, nats_root, place.nats_url, proxy.port, tmp_path, load_port=broker.port) as made,
    ):
        assert made.instance
        proxy.delay = _DELAY_SECONDS
        for number in range(_ROUNDS):
            await _put(made, proxy.port, 2 * number, forbidden)
            told = await rejected(made.instance, forbidden.topic)
            assert told.connected
            await _put(made, proxy.port, 2 * number + 1)
            await applied(made.instance, made.control.revision)
        proxy.delay = 0
        await made.books.settle()
        row = made.books.row("refused: one of several filters", **kind.words)
    record(row)
    assert row.sent > 100
    assert not row.lost
