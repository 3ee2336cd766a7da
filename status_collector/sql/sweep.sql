-- name: products_with_stale
-- $1: since when this collector has listened; $2: how many intervals may pass.
select distinct product_id from mqtt_instances
where state = 'live'
  and clock_timestamp() - greatest(last_heartbeat_at, $1::timestamptz) > $2 * make_interval(secs => interval_seconds)
order by product_id

-- name: mark_stale
-- Under the locks of the products: an instance that was heard meanwhile is left alone.
update mqtt_instances set state = 'stale'
where product_id = any($3::int[]) and state = 'live'
  and clock_timestamp() - greatest(last_heartbeat_at, $1::timestamptz) > $2 * make_interval(secs => interval_seconds)
returning product_id, instance_id, boot_id, state, last_heartbeat_at, interval_seconds, connected, connected_since,
    client_id, broker_info::text as broker_info, connection_error, subscribed_topics_count, applied_revision,
    applied_digest, rejected_revision, rejected_error, messages_received, actions_executed, actions_failed,
    last_message_at

-- name: products_with_old
-- Products with an instance that is to be cleaned up, some at a time. $1: seconds of silence.
select distinct product_id from mqtt_instances
where state <> 'live' and last_heartbeat_at < now() - make_interval(secs => $1)
order by product_id limit 100

-- name: delete_old_instances
-- Under the locks of the products. The totals of products and subscriptions are stored on their own and stay. What
-- was heard of the boot is kept beside the former ones: an instance that comes back goes on where it was.
with old as (
    delete from mqtt_instances
    where product_id = any($2::int[]) and state <> 'live' and last_heartbeat_at < now() - make_interval(secs => $1)
    returning *
), kept as (
    insert into mqtt_instance_boots (product_id, instance_id, boot_id, seq, counters, updated_at)
    select product_id, instance_id, boot_id, seq, counters, last_heartbeat_at from old where counters is not null
    on conflict (product_id, instance_id, boot_id)
    do update set seq = excluded.seq, counters = excluded.counters, updated_at = excluded.updated_at
)
select product_id, instance_id, boot_id, state, last_heartbeat_at, interval_seconds, connected, connected_since,
    client_id, broker_info::text as broker_info, connection_error, subscribed_topics_count, applied_revision,
    applied_digest, rejected_revision, rejected_error, messages_received, actions_executed, actions_failed,
    last_message_at
from old

-- name: delete_old_boots
-- $1: seconds of silence.
delete from mqtt_instance_boots where updated_at < now() - make_interval(secs => $1)

-- name: moved_lately
-- Products whose newest revision is not the one that their instances were counted against. $1: seconds to look back.
select distinct r.product_id
from mqtt_config_revisions r join mqtt_connection_status s using (product_id)
where r.changed_at > now() - make_interval(secs => $1) and r.revision > s.desired_revision
order by r.product_id

-- name: moved
-- The same, of all products.
select s.product_id from mqtt_connection_status s
where exists (
    select from mqtt_config_revisions r where r.product_id = s.product_id and r.revision > s.desired_revision)
order by s.product_id

-- name: keep_partitions
-- $1: table; $2: day or month; $3: seconds.
select mqtt_keep_partitions($1, $2, make_interval(secs => $3))

-- name: claim_hours
-- Hours that are over and not rolled up yet. Whoever has the row rolls it up, in the same transaction. Five minutes
-- are given to the flushes that began within the hour.
insert into mqtt_metrics_rolled (at)
select h from generate_series(
    date_trunc('hour', now() - make_interval(secs => $1)), date_trunc('hour', now() - interval '65 minutes'),
    interval '1 hour') as t(h)
on conflict do nothing
returning at

-- name: roll_up
insert into mqtt_metrics_hour (
    product_id, subscription_id, at, received, executed, failed, latency, connected_instances)
select product_id, subscription_id, $1, sum(received), sum(executed), sum(failed),
    coalesce(mqtt_sum_counts(latency), '{}'), max(connected_instances)
from mqtt_metrics_minute where at >= $1 and at < $1::timestamptz + interval '1 hour'
group by product_id, subscription_id

-- name: forget_rolled
delete from mqtt_metrics_rolled where at < now() - make_interval(secs => $1) - interval '1 day'
