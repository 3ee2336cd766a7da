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
        select *,
            case
                when state = 'live' and last_heartbeat_at <= now() - 3 * interval_seconds * interval '1 second'
                    then 'stale'
                else state
            end as seen_as
        from mqtt_instances
        where product_id = $1 and instance_id > $2 order by instance_id limit $3
    ) i
)
from products where id = $1;

-- get_rollout --
-- The desired revision with its digest, and how far each live instance is.
select json_build_object(
    'product_id', p.id,
    'desired_revision', coalesce(c.revision, t.revision, 0),
    'published_revision', coalesce(c.published_revision, t.published_revision, 0),
    'digest', (
        select digest from mqtt_config_revisions r
        where r.product_id = p.id and r.revision = coalesce(c.revision, t.revision)
    ),
    'instances', coalesce(
        (
            select json_agg(
                json_build_object(
                    'instance_id', instance_id, 'applied_revision', applied_revision,
                    'applied_digest', applied_digest, 'rejected_revision', rejected_revision,
                    'rejected_error', rejected_error
                ) order by instance_id
            )
            from mqtt_instances i
            where i.product_id = p.id and i.state = 'live'
                and i.last_heartbeat_at > now() - 3 * i.interval_seconds * interval '1 second'
        ), '[]'
    )
)
from products p
left join mqtt_configs c on c.product_id = p.id
left join mqtt_config_tombstones t on t.product_id = p.id
where p.id = $1;

-- live_instances --
select (
    select coalesce(json_agg(i.instance_id), '[]') from mqtt_instances i
    where i.product_id = p.id and i.state = 'live'
        and i.last_heartbeat_at > now() - 3 * i.interval_seconds * interval '1 second'
)
from products p where p.id = $1;

-- product_exists --
select exists (select from products where id = $1);

-- ping --
select 1;
