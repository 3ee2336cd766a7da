"""A new connection that is given up half way has its share of a group's messages: none of them is lost."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from msgspec import structs

from tests.product_instance.conftest import applied
from tests.support.proxy import TcpProxy
from tests.support.waiting import eventually

from .consumers import Kind, consumer, snapshot

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .cells import Place
    from .consumers import Consumer
    from .table import Row

_DELAY_SECONDS = 0.05
_IDS = {"clean": None, "clean, own id": "{name}-{number}", "persistent": "{name}-{number}"}


async def _put(made: Consumer, port: int, number: int) -> None:
    """A revision that takes a new connection, under a client id of its own where it has one."""
    before = snapshot(made.control, made.kind, port, keep_alive=30 + number)
    assert before.broker
    client_id = _IDS[made.kind.session]
    broker = structs.replace(
        before.broker,
        client_id=client_id and client_id.format(name=made.control.root, number=number),
        clean_session=made.kind.session != "persistent",
    )
    await made.control.put(structs.replace(before, broker=broker))


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
        for number in range(8):
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
