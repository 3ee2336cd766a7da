-- behind --
-- Products whose newest revision is not known to be in the bucket.
select coalesce(json_agg(product_id), '[]') from (
    select product_id from mqtt_configs where published_revision < revision
    union all
    select product_id from mqtt_config_tombstones where published_revision < revision
) b;

-- all_published --
-- Every product that has a key in the bucket.
select coalesce(json_agg(product_id order by product_id), '[]') from (
    select product_id from mqtt_configs union all select product_id from mqtt_config_tombstones
) b;

-- count_published --
-- How many keys the bucket must hold at least.
select (select count(*) from mqtt_configs where published_revision > 0)
    + (select count(*) from mqtt_config_tombstones where published_revision > 0);

-- left_behind --
-- Products with live instances that have drifted from the newest revision, or have it pending for long although it
-- is published. Parameter: how many seconds an instance is given.
select coalesce(json_agg(s.product_id), '[]')
from mqtt_connection_status s
join mqtt_configs c using (product_id)
join mqtt_config_revisions r on r.product_id = s.product_id and r.revision = c.revision
where (s.instances_drifted > 0 or s.instances_pending > 0)
    and s.desired_revision = c.revision and c.published_revision = c.revision
    and r.changed_at < now() - make_interval(secs => $1);

-- read_publication --
-- What a snapshot is made of; a deleted product has only its tombstone. Parameter: product id.
select json_build_object(
    'product', (select to_json(p) from products p where p.id = $1),
    'config', (select to_json(c) from mqtt_configs c where c.product_id = $1),
    'subscriptions', coalesce(
        (
            select json_agg(s order by s.id)
            from mqtt_subscriptions s join mqtt_configs c on c.id = s.mqtt_config_id where c.product_id = $1
        ), '[]'
    ),
    'secrets', coalesce(
        (select json_agg(s order by s.name) from product_secrets s where s.product_id = $1), '[]'
    ),
    'tombstone', (select to_json(t) from mqtt_config_tombstones t where t.product_id = $1),
    'issued', (
        select json_build_object('at', changed_at, 'by', changed_by) from mqtt_config_revisions
        where product_id = $1 order by revision desc limit 1
    )
);

-- mark_published --
-- Only when the keys are still those that the snapshot was sealed under: a renewal meanwhile needs another one.
-- Parameters, one element for each product: product ids, revisions, key ids, previous key ids (both null for a
-- deleted product).
with given as materialized (
    select * from unnest($1::integer[], $2::bigint[], $3::text[], $4::text[])
        as g (product_id, revision, key_id, previous_key_id)
), locked as materialized (
    select c.id, g.revision
    from given g
    join products p on p.id = g.product_id and p.product_key_id = g.key_id
        and p.previous_product_key_id is not distinct from g.previous_key_id
    join mqtt_configs c on c.product_id = g.product_id
    where c.published_revision < g.revision and c.revision >= g.revision
    order by c.product_id
    for update of c
), configured as (
    update mqtt_configs c set published_revision = l.revision
    from locked l
    where c.id = l.id and c.published_revision < l.revision and c.revision >= l.revision
)
update mqtt_config_tombstones t set published_revision = g.revision
from given g
where t.product_id = g.product_id and t.revision = g.revision and t.published_revision < g.revision
    and not exists (
        select from products p
        where p.id = g.product_id
            and (
                p.product_key_id is distinct from g.key_id
                or p.previous_product_key_id is distinct from g.previous_key_id
            )
    );
