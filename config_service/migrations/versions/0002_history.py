"""The state of a product in figures, and its history: activity, metrics per minute and hour."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_PARTITIONS = """
create function mqtt_keep_partitions(parent text, unit text, keep interval) returns void
language plpgsql security definer set search_path from current set timezone to 'UTC' as $$
declare
    beginning timestamptz;
    child record;
begin
    if parent not in ('mqtt_activity', 'mqtt_metrics_minute', 'mqtt_metrics_hour') then
        raise exception '% has no partitions', parent;
    end if;
    if unit not in ('day', 'month') then
        raise exception 'a partition is a day or a month';
    end if;
    perform pg_advisory_xact_lock(hashtext(parent));
    for number in -1..2 loop
        beginning := date_trunc(unit, now()) + number * ('1 ' || unit)::interval;
        if to_regclass(parent || to_char(beginning, '_YYYYMMDD')) is null then
            execute format(
                'create table %I partition of %I for values from (%L) to (%L)',
                parent || to_char(beginning, '_YYYYMMDD'), parent, beginning,
                beginning + ('1 ' || unit)::interval
            );
        end if;
    end loop;
    for child in
        select inhrelid::regclass::text as name from pg_inherits where inhparent = parent::regclass
    loop
        if to_timestamp(right(child.name, 8), 'YYYYMMDD') + ('1 ' || unit)::interval < now() - keep then
            execute format('drop table %s', child.name);
        end if;
    end loop;
end $$
"""

_STATEMENTS = (
    """
    alter table mqtt_connection_status
        add state text not null default 'no_instances'
            check (state in ('no_instances', 'disconnected', 'degraded', 'healthy')),
        add actions_executed bigint not null default 0 check (actions_executed >= 0),
        add actions_failed bigint not null default 0 check (actions_failed >= 0),
        add instances_live integer not null default 0,
        add instances_stale integer not null default 0,
        add instances_stopped integer not null default 0,
        add instances_connected integer not null default 0,
        add instances_applied integer not null default 0,
        add instances_rejected integer not null default 0,
        add instances_pending integer not null default 0,
        add instances_drifted integer not null default 0
    """,
    "alter table mqtt_connection_status set (fillfactor = 50)",
    """
    update mqtt_connection_status t
    set actions_executed = s.executed, actions_failed = s.failed
    from (
        select c.product_id, sum(actions_executed) as executed, sum(actions_failed) as failed
        from mqtt_subscriptions join mqtt_configs c on c.id = mqtt_config_id group by 1
    ) s
    where s.product_id = t.product_id
    """,
    "create sequence mqtt_activity_id",
    """
    create table mqtt_activity (
        id bigint not null default nextval('mqtt_activity_id'),
        product_id integer not null references products on delete cascade,
        instance_id text not null,
        kind text not null,
        at timestamptz not null,
        revision bigint,
        detail text,
        primary key (product_id, at, id)
    ) partition by range (at)
    """,
    "comment on table mqtt_activity is 'What happened to instances'",
    """
    create table mqtt_metrics_minute (
        product_id integer not null references products on delete cascade,
        subscription_id integer not null,
        at timestamptz not null,
        received bigint not null default 0,
        executed bigint not null default 0,
        failed bigint not null default 0,
        latency bigint[] not null default '{}',
        connected_instances integer,
        primary key (product_id, subscription_id, at)
    ) partition by range (at)
    """,
    """
    create table mqtt_metrics_hour (
        product_id integer not null references products on delete cascade,
        subscription_id integer not null,
        at timestamptz not null,
        received bigint not null default 0,
        executed bigint not null default 0,
        failed bigint not null default 0,
        latency bigint[] not null default '{}',
        connected_instances integer,
        primary key (product_id, subscription_id, at)
    ) partition by range (at)
    """,
    "comment on column mqtt_metrics_minute.subscription_id is '0: the product as a whole'",
    "comment on column mqtt_metrics_minute.latency is 'Messages in each bucket; the last one is open'",
    "comment on column mqtt_metrics_minute.connected_instances is 'The most within the minute'",
    "comment on table mqtt_metrics_hour is 'Hours that are over, added up from minutes'",
    """
    create function mqtt_add_counts(a bigint[], b bigint[]) returns bigint[]
    language sql immutable parallel safe as $$
        select case
            when coalesce(cardinality(a), 0) = 0 then b
            when coalesce(cardinality(b), 0) = 0 then a
            else (
                select array_agg(coalesce(x, 0) + coalesce(y, 0) order by place)
                from unnest(a, b) with ordinality as both_counts(x, y, place)
            )
        end
    $$
    """,
    """
    create aggregate mqtt_sum_counts(bigint[]) (
        sfunc = mqtt_add_counts, stype = bigint[], combinefunc = mqtt_add_counts, parallel = safe
    )
    """,
    _PARTITIONS,
    "revoke execute on function mqtt_keep_partitions from public",
    "grant execute on function mqtt_keep_partitions to mqtt_status_collector",
    "select mqtt_keep_partitions('mqtt_activity', 'day', '30 days')",
    "select mqtt_keep_partitions('mqtt_metrics_minute', 'day', '7 days')",
    "select mqtt_keep_partitions('mqtt_metrics_hour', 'month', '400 days')",
    "create index mqtt_config_revisions_changed_at on mqtt_config_revisions (changed_at)",
    """
    grant select (product_id, revision, digest, changed_at)
        on mqtt_config_revisions to mqtt_status_collector
    """,
    "grant usage on sequence mqtt_activity_id to mqtt_status_collector",
    """
    grant select, insert, update, delete
        on mqtt_activity, mqtt_metrics_minute, mqtt_metrics_hour to mqtt_status_collector
    """,
)


def upgrade() -> None:
    for statement in _STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("restore the backup made before the upgrade")
