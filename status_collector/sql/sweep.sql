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
returning product_id, instance_id

-- name: delete_old_boots
-- $1: seconds of silence. A boot of a live instance stays: it may be the current one and its counters go on.
delete from mqtt_instance_boots b
where b.updated_at < now() - make_interval(secs => $1)
  and not exists (
      select from mqtt_instances i
      where i.product_id = b.product_id and i.instance_id = b.instance_id
        and i.boot_id = b.boot_id and i.state = 'live')

-- name: delete_old_instances
-- The totals of products and subscriptions are stored on their own and stay.
delete from mqtt_instances
where state <> 'live' and last_heartbeat_at < now() - make_interval(secs => $1)
