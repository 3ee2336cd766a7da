"""What the collector counts against, and what lets it look at single instances without reading all."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_STATEMENTS = (
    """
    alter table mqtt_connection_status
        add desired_revision bigint not null default -1,
        add desired_digest text,
        add settled_at timestamptz
    """,
    """
    comment on column mqtt_connection_status.desired_revision is
        'What the counts of instances were made against; -1: not counted yet'
    """,
    """
    comment on column mqtt_connection_status.settled_at is
        'When every live instance had applied or rejected the desired revision for the first time'
    """,
    # Of columns that change seldom: a heartbeat that changes none of them still updates its row in place.
    """
    create index mqtt_instances_connected on mqtt_instances (product_id, connected_since, instance_id)
        where state = 'live' and connected
    """,
    """
    create index mqtt_instances_topics on mqtt_instances (product_id, subscribed_topics_count)
        where state = 'live' and connected
    """,
    """
    create index mqtt_instances_failing on mqtt_instances (product_id, instance_id)
        where state = 'live' and connection_error is not null
    """,
    "create index mqtt_metrics_minute_at on mqtt_metrics_minute using brin (at)",
    "create table mqtt_metrics_rolled (at timestamptz primary key)",
    "comment on table mqtt_metrics_rolled is 'Hours that are in mqtt_metrics_hour'",
    "grant select, insert, delete on mqtt_metrics_rolled to mqtt_status_collector",
)


def upgrade() -> None:
    for statement in _STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("restore the backup made before the upgrade")
