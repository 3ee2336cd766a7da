"""Counters of the current boot in the row of the instance, packed; those of former boots beside it.

A heartbeat then changes one row. The packed form is MessagePack: by subscription id, received, executed,
failed, time of the last message, and the histogram. Only the collector reads it.
"""

from __future__ import annotations

import datetime

import msgspec
import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_NAMES = ("messages_received", "actions_executed", "actions_failed")


def upgrade() -> None:
    op.execute("alter table mqtt_connection_status add writer bigint not null default 0")
    op.execute(
        "comment on column mqtt_connection_status.writer is"
        " 'The last transaction that changed instances of the product'"
    )
    op.execute("alter table mqtt_instances drop column latency, add counters bytea")
    op.execute(
        "comment on column mqtt_instances.counters is 'The maximum heard of boot_id: what totals hold'"
    )
    op.execute("alter table mqtt_instance_boots add packed bytea")
    op.execute("comment on table mqtt_instance_boots is 'The maximum heard of each former boot'")
    _pack()
    op.execute("alter table mqtt_instance_boots drop column counters")
    op.execute("alter table mqtt_instance_boots rename packed to counters")
    op.execute("alter table mqtt_instance_boots alter counters set not null")
    op.execute(
        "update mqtt_instances i set counters = b.counters, seq = greatest(i.seq, b.seq)"
        " from mqtt_instance_boots b where (b.product_id, b.instance_id, b.boot_id)"
        " = (i.product_id, i.instance_id, i.boot_id)"
    )


def _pack() -> None:
    connection = op.get_bind()
    rows = connection.execute(
        sa.text("select product_id, instance_id, boot_id, counters::text from mqtt_instance_boots")
    )
    packed = [
        {"product": row[0], "instance": row[1], "boot": row[2], "packed": _packed(row[3])} for row in rows
    ]
    if packed:
        statement = (
            "update mqtt_instance_boots set packed = :packed where product_id = :product"
            " and instance_id = :instance and boot_id = :boot"
        )
        connection.execute(sa.text(statement), packed)


def _packed(counters: str) -> bytes:
    by_subscription = msgspec.json.decode(counters)
    return msgspec.msgpack.encode(
        {
            int(key): (*(each.get(name, 0) for name in _NAMES), _time(each), each.get("latency", []))
            for key, each in by_subscription.items()
        }
    )


def _time(counted: dict[str, str | None]) -> datetime.datetime | None:
    at = counted.get("last_message_at")
    return msgspec.convert(at, datetime.datetime) if at else None


def downgrade() -> None:
    raise NotImplementedError("restore the backup made before the upgrade")
