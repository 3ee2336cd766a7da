"""Rows that heartbeats change stay in their place, and histograms add up faster."""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_BUCKETS = 15
"""As many as `mqtt_shared.messages.LATENCY_BOUNDS_SECONDS` makes, when this was written."""

_STATEMENTS = (
    # Room for the new version beside each row: an update then touches no index and needs no vacuum.
    "alter table mqtt_instances set (fillfactor = 45, toast_tuple_target = 4080)",
    "alter table mqtt_subscriptions set (fillfactor = 50)",
    # Packed already: compressing it takes longer than all the rest of the update.
    "alter table mqtt_instances alter counters set storage external",
    "alter table mqtt_instance_boots alter counters set storage external",
    "alter function mqtt_add_counts rename to mqtt_add_any_counts",
    # An expression, so that PostgreSQL puts it where it is called.
    f"""
    create function mqtt_add_counts(a bigint[], b bigint[]) returns bigint[]
    language sql immutable parallel safe as $$
        select case
            when cardinality(a) = {_BUCKETS} and cardinality(b) = {_BUCKETS}
                then array[{", ".join(f"a[{i}] + b[{i}]" for i in range(1, _BUCKETS + 1))}]
            when cardinality(a) = 0 then b
            when cardinality(b) = 0 then a
            else mqtt_add_any_counts(a, b)
        end
    $$
    """,
)


def upgrade() -> None:
    for statement in _STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("restore the backup made before the upgrade")
