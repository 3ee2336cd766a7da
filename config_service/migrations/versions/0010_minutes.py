"""Minutes that are added to stay in their place."""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_PARTITIONS = """
create or replace function mqtt_keep_partitions(parent text, unit text, keep interval) returns void
language plpgsql security definer set search_path from current set timezone to 'UTC' as $$
declare
    beginning timestamptz;
    child record;
    -- Each flush adds to all minutes that run: with room beside them, an update touches no index.
    storage text := case parent when 'mqtt_metrics_minute' then 'with (fillfactor = 50)' else '' end;
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
                'create table %I partition of %I for values from (%L) to (%L) %s',
                parent || to_char(beginning, '_YYYYMMDD'), parent, beginning,
                beginning + ('1 ' || unit)::interval, storage
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
_PARTITIONS_THAT_ARE_THERE = """
do $$
declare
    child record;
begin
    for child in
        select inhrelid::regclass as name from pg_inherits where inhparent = 'mqtt_metrics_minute'::regclass
    loop
        execute format('alter table %s set (fillfactor = 50)', child.name);
    end loop;
end $$
"""


def upgrade() -> None:
    op.execute(_PARTITIONS)
    op.execute(_PARTITIONS_THAT_ARE_THERE)


def downgrade() -> None:
    raise NotImplementedError("restore the backup made before the upgrade")
