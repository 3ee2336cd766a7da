-- get_metrics_scope --
-- What a range can be read from: the clock, since when there are minutes, and whether there is such a subscription,
-- or was one that has left figures. Parameters: product id, subscription id (0: the product).
select json_build_object(
    'now', now(),
    'minutes_since', (
        select coalesce(min(to_timestamp(right(inhrelid::regclass::text, 8), 'YYYYMMDD')), now())
        from pg_inherits where inhparent = 'mqtt_metrics_minute'::regclass
    ),
    'has_subscription', $2::integer = 0
        or exists (
            select from mqtt_subscriptions s join mqtt_configs c on c.id = s.mqtt_config_id
            where s.id = $2 and c.product_id = p.id
        )
        or exists (select from mqtt_metrics_hour where product_id = p.id and subscription_id = $2)
        or exists (select from mqtt_metrics_minute where product_id = p.id and subscription_id = $2)
)
from products p where p.id = $1;

-- read_minutes --
-- Parameters: product id, subscription id (0: the product), from, to, seconds of a bucket.
select coalesce(json_agg(b), '[]') from (
    select date_bin(make_interval(secs => $5), at, 'epoch') as at, sum(received) as received,
        sum(executed) as executed, sum(failed) as failed, coalesce(mqtt_sum_counts(latency), '{}') as latency,
        max(connected_instances) as connected_instances
    from mqtt_metrics_minute
    where product_id = $1 and subscription_id = $2 and at >= $3 and at < $4
    group by 1
) b;

-- read_hours --
-- Whole hours, and the minutes of those that have not been added up. An hour that has a row has been added up, also
-- when that has been forgotten since. Parameters: as above, since when there are minutes, until when.
with stored as (
    select at, received, executed, failed, latency, connected_instances from mqtt_metrics_hour
    where product_id = $1 and subscription_id = $2 and at >= $3 and at < $4
), open as (
    select h from generate_series(greatest($3, $6::timestamptz), least($4, $7::timestamptz), interval '1 hour') h
    where not exists (select from mqtt_metrics_rolled r where r.at = h)
        and not exists (select from stored s where s.at = h)
), parts as (
    select * from stored
    union all
    select at, received, executed, failed, latency, connected_instances
    from open join mqtt_metrics_minute on at >= h and at < h + interval '1 hour' and at < $4
    where product_id = $1 and subscription_id = $2
)
select coalesce(json_agg(b), '[]') from (
    select date_bin(make_interval(secs => $5), at, 'epoch') as at, sum(received) as received,
        sum(executed) as executed, sum(failed) as failed, coalesce(mqtt_sum_counts(latency), '{}') as latency,
        max(connected_instances) as connected_instances
    from parts group by 1
) b;

-- list_activity --
-- One page of what happened to instances and was changed in the configuration, the newest first; of one time, changes
-- first. Parameters: product id, up to this time, and of this time only activity and revisions below these numbers,
-- not before this time, how many.
select (
    select coalesce(json_agg(e), '[]') from (
        select kind_of || number as id, at, kind, instance_id, revision, detail, changed_by
        from (
            (
                select 'i' as kind_of, id as number, at, kind, instance_id, revision, detail, null as changed_by
                from mqtt_activity
                where product_id = $1 and at <= $2 and (at, id) < ($2, $3::bigint) and at >= $5
                order by at desc, id desc limit $6
            )
            union all
            (
                select 'r', revision, changed_at, 'config_changed', null, revision, action, changed_by
                from mqtt_config_revisions
                where product_id = $1 and (changed_at, revision) < ($2, $4::bigint) and changed_at >= $5
                order by changed_at desc, revision desc limit $6
            )
        ) happened
        order by at desc, kind_of desc, number desc limit $6
    ) e
)
from products where id = $1;
