-- figures --
-- What the metrics tell of the whole fleet, as the collector keeps it: one row is read per product.
select json_build_object(
    'configs_behind', (
        select count(*) from (
            select from mqtt_configs where published_revision < revision
            union all
            select from mqtt_config_tombstones where published_revision < revision
        ) b
    ),
    'products', (select count(*) from products),
    'states', (select coalesce(json_object_agg(state, n), '{}') from (
        select state, count(*) as n from mqtt_connection_status group by state
    ) s),
    'live', coalesce(sum(instances_live), 0), 'stale', coalesce(sum(instances_stale), 0),
    'stopped', coalesce(sum(instances_stopped), 0), 'connected', coalesce(sum(instances_connected), 0),
    'applied', coalesce(sum(instances_applied), 0), 'rejected', coalesce(sum(instances_rejected), 0),
    'pending', coalesce(sum(instances_pending), 0), 'drifted', coalesce(sum(instances_drifted), 0)
)
from mqtt_connection_status;

-- list_fleet --
-- One page of products at a glance, in order of id. `minutes`: messages received, by how many whole minutes ago.
-- Parameters: after this id, how many, only these ids (null: all).
with listed as materialized (
    select * from products
    where id > $1 and ($3::integer[] is null or id = any($3))
    order by id limit $2
)
select coalesce(
    json_agg(
        json_build_object(
            'product_id', p.id, 'name', p.name, 'description', p.description, 'configured', c.id is not null,
            'desired_revision', coalesce(c.revision, t.revision, 0),
            'published_revision', coalesce(c.published_revision, t.published_revision, 0),
            'status', to_json(s), 'minutes', coalesce(m.minutes, '{}')
        ) order by p.id
    ), '[]'
)
from listed p
left join mqtt_configs c on c.product_id = p.id
left join mqtt_config_tombstones t on t.product_id = p.id
left join mqtt_connection_status s on s.product_id = p.id
left join lateral (
    select json_object_agg(
        (extract(epoch from date_trunc('minute', now()) - at) / 60)::integer, received
    ) as minutes
    from mqtt_metrics_minute
    where product_id = p.id and subscription_id = 0
        and at >= date_trunc('minute', now()) - interval '30 minutes' and at < date_trunc('minute', now())
) m on true;
