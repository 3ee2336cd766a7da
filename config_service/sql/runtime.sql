-- get_status --
select json_build_object(
    'product_id', p.id,
    'status', (select to_json(t) from mqtt_connection_status t where t.product_id = p.id)
)
from products p where p.id = $1;

-- list_instances --
-- One page by name. Whoever is silent for three intervals by the database's clock is stale, also while the
-- collector is away. Parameters: product id, after this instance id, how many.
select (
    select coalesce(json_agg(i), '[]') from (
        -- As they are answered, and without the packed counters, which are most of a row.
        select instance_id, boot_id, started_at, first_seen_at, last_heartbeat_at, interval_seconds, version, host,
            connected, connected_since, client_id, broker_info, connection_error, applied_revision,
            subscribed_topics_count, messages_received, actions_executed, actions_failed, last_message_at,
            action_types, key_id,
            case
                when state = 'live' and last_heartbeat_at <= now() - 3 * interval_seconds * interval '1 second'
                    then 'stale'
                else state
            end as state,
            case
                when rejected_revision is not null
                    then json_build_object('revision', rejected_revision, 'error', coalesce(rejected_error, ''))
            end as rejected
        from mqtt_instances
        where product_id = $1 and instance_id > $2 order by instance_id limit $3
    ) i
)
from products where id = $1;

-- get_rollout --
-- The desired revision, counts of the live instances by how far they are, and some of them, trouble first.
-- Counted anew where there are few of them, so that an instance that falls silent while the collector is away does
-- not count; else the counts that the collector keeps, if they were made against what is desired now.
-- Parameters: product id, a revision of which to count who has not come so far, most instances to list, how many
-- are few.
with desired as (
    select p.id as product_id, coalesce(c.revision, t.revision, 0) as revision,
        coalesce(c.published_revision, t.published_revision, 0) as published_revision,
        (
            select digest from mqtt_config_revisions r
            where r.product_id = p.id and r.revision = coalesce(c.revision, t.revision)
        ) as digest
    from products p
    left join mqtt_configs c on c.product_id = p.id
    left join mqtt_config_tombstones t on t.product_id = p.id
    where p.id = $1
), kept as (
    select s.* from desired d join mqtt_connection_status s using (product_id)
    where s.instances_live > $4::integer and s.desired_revision = d.revision
        and s.desired_digest is not distinct from d.digest and $2::bigint in (0, d.revision)
), progress as (
    select i.instance_id, i.applied_revision, i.rejected_revision, i.rejected_error,
        case
            when i.rejected_revision = d.revision and i.applied_revision is distinct from d.revision
                then 'rejected'
            when coalesce(i.applied_revision, 0) < d.revision then 'pending'
            -- Never configured: whatever an instance runs on is its own.
            when d.revision = 0 then 'applied'
            when i.applied_revision = d.revision
                and (i.applied_digest is null or i.applied_digest is not distinct from d.digest)
                then 'applied'
            else 'drifted'
        end as state
    from desired d join mqtt_instances i on i.product_id = d.product_id
    where i.state = 'live' and i.last_heartbeat_at > now() - 3 * i.interval_seconds * interval '1 second'
), counted as (
    select count(*) as total,
        count(*) filter (where state = 'applied') as applied,
        count(*) filter (where state = 'rejected') as rejected,
        count(*) filter (where state = 'pending') as pending,
        count(*) filter (where state = 'drifted') as drifted,
        count(*) filter (
            where greatest(coalesce(applied_revision, 0), coalesce(rejected_revision, 0)) < $2::bigint
        ) as behind
    from progress
    where not exists (select from kept)
), counts as (
    select instances_live as total, instances_applied as applied, instances_rejected as rejected,
        instances_pending as pending, instances_drifted as drifted,
        case when $2::bigint = 0 then 0 else instances_pending end as behind
    from kept
    union all
    select total, applied, rejected, pending, drifted, behind from counted where not exists (select from kept)
)
select json_build_object(
    'product_id', d.product_id, 'desired_revision', d.revision, 'published_revision', d.published_revision,
    'total', c.total, 'applied', c.applied, 'rejected', c.rejected, 'pending', c.pending,
    'drifted', c.drifted, 'behind', c.behind,
    'instances', coalesce(
        (
            select json_agg(l) from (
                select instance_id, state, applied_revision,
                    case when rejected_revision = d.revision then rejected_error end as error
                from progress
                order by array_position(array['rejected', 'drifted', 'pending', 'applied'], state), instance_id
                limit $3::integer
            ) l
        ), '[]'
    )
)
from desired d, counts c;

-- live_instances --
select (
    select coalesce(json_agg(i.instance_id), '[]') from mqtt_instances i
    where i.product_id = p.id and i.state = 'live'
        and i.last_heartbeat_at > now() - 3 * i.interval_seconds * interval '1 second'
)
from products p where p.id = $1;

-- product_exists --
select exists (select from products where id = $1);

-- instance_exists --
select exists (select from mqtt_instances where product_id = $1 and instance_id = $2);

-- ping --
select 1;
