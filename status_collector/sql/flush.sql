-- name: yield_after
-- A collector never makes another transaction wait long: it gives up its turn before PostgreSQL (deadlock_timeout,
-- 1 s) looks for a deadlock, so a deletion in config_service is never the one that is rolled back.
select set_config('lock_timeout', $1, true)

-- name: clock
-- The one clock that all collectors share.
select clock_timestamp()

-- name: existing_products
select id from products where id = any($1::int[])

-- name: add_statuses
insert into mqtt_connection_status (product_id)
select p from unnest($1::int[]) as t(p) order by p
on conflict (product_id) do nothing

-- name: lock_statuses
-- The row of the status is the lock on everything that collectors write of a product, taken in one order.
select product_id, connected, last_connected_at, last_disconnected_at, connection_error, messages_received,
       last_message_at, subscribed_topics_count, client_id, broker_info::text as broker_info
from mqtt_connection_status where product_id = any($1::int[])
order by product_id for no key update

-- name: owners
-- To which product each subscription belongs; one that is deleted is not in the answer.
select s.id, c.product_id
from mqtt_subscriptions s join mqtt_configs c on c.id = s.mqtt_config_id
where s.id = any($1::int[])

-- name: instances
select i.product_id, i.instance_id, boot_id, state, last_heartbeat_at, interval_seconds, connected, connected_since,
       client_id, broker_info::text as broker_info, connection_error, subscribed_topics_count
from mqtt_instances i join unnest($1::int[], $2::text[]) as k(product_id, instance_id) using (product_id, instance_id)

-- name: boots
select b.product_id, b.instance_id, b.boot_id, seq, counters::text as counters
from mqtt_instance_boots b
join unnest($1::int[], $2::text[], $3::text[]) as k(product_id, instance_id, boot_id)
    using (product_id, instance_id, boot_id)

-- name: write_boots
insert into mqtt_instance_boots as b (product_id, instance_id, boot_id, seq, counters)
select p, i, t.boot, s, c::jsonb
from unnest($1::int[], $2::text[], $3::text[], $4::bigint[], $5::text[]) as t(p, i, boot, s, c)
on conflict (product_id, instance_id, boot_id)
do update set seq = excluded.seq, counters = excluded.counters, updated_at = now()

-- name: write_instances
-- The state from the newest heartbeat; the counts are totals over all boots and are added to.
insert into mqtt_instances as m (
    product_id, instance_id, state, boot_id, seq, started_at, sent_at, last_heartbeat_at, interval_seconds,
    version, host, connected, connected_since, client_id, broker_info, connection_error,
    applied_revision, applied_digest, rejected_revision, rejected_error, subscribed_topics_count,
    latency, action_types, key_id,
    messages_received, actions_executed, actions_failed, last_message_at)
select product_id, instance_id, state, boot_id, seq, started_at, sent_at, last_heartbeat_at, interval_seconds,
    version, host, connected, connected_since, client_id, broker_info::jsonb, connection_error,
    applied_revision, applied_digest, rejected_revision, rejected_error, subscribed_topics_count,
    latency::jsonb, array(select jsonb_array_elements_text(action_types::jsonb)), key_id,
    messages_received, actions_executed, actions_failed, last_message_at
from unnest(
    $1::int[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::timestamptz[], $7::timestamptz[],
    $8::timestamptz[], $9::float8[], $10::text[], $11::text[], $12::bool[], $13::timestamptz[], $14::text[],
    $15::text[], $16::text[], $17::bigint[], $18::text[], $19::bigint[], $20::text[], $21::int[], $22::text[],
    $23::text[], $24::text[], $25::bigint[], $26::bigint[], $27::bigint[], $28::timestamptz[]
) as t(
    product_id, instance_id, state, boot_id, seq, started_at, sent_at, last_heartbeat_at, interval_seconds,
    version, host, connected, connected_since, client_id, broker_info, connection_error,
    applied_revision, applied_digest, rejected_revision, rejected_error, subscribed_topics_count,
    latency, action_types, key_id,
    messages_received, actions_executed, actions_failed, last_message_at)
on conflict (product_id, instance_id) do update set
    state = excluded.state, boot_id = excluded.boot_id, seq = excluded.seq, started_at = excluded.started_at,
    sent_at = excluded.sent_at, last_heartbeat_at = excluded.last_heartbeat_at,
    interval_seconds = excluded.interval_seconds, version = excluded.version, host = excluded.host,
    connected = excluded.connected, connected_since = excluded.connected_since, client_id = excluded.client_id,
    broker_info = excluded.broker_info, connection_error = excluded.connection_error,
    applied_revision = excluded.applied_revision, applied_digest = excluded.applied_digest,
    rejected_revision = excluded.rejected_revision, rejected_error = excluded.rejected_error,
    subscribed_topics_count = excluded.subscribed_topics_count, latency = excluded.latency,
    action_types = excluded.action_types, key_id = excluded.key_id,
    messages_received = m.messages_received + excluded.messages_received,
    actions_executed = m.actions_executed + excluded.actions_executed,
    actions_failed = m.actions_failed + excluded.actions_failed,
    last_message_at = greatest(m.last_message_at, excluded.last_message_at)

-- name: add_to_instances
-- Counts of a boot that is not the current one.
update mqtt_instances m set
    messages_received = m.messages_received + t.received,
    actions_executed = m.actions_executed + t.executed,
    actions_failed = m.actions_failed + t.failed,
    last_message_at = greatest(m.last_message_at, t.last_at)
from unnest($1::int[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::timestamptz[])
    as t(product_id, instance_id, received, executed, failed, last_at)
where m.product_id = t.product_id and m.instance_id = t.instance_id

-- name: lock_subscriptions
-- In one order: the update below locks in the order of its plan.
select id from mqtt_subscriptions where id = any($1::int[]) order by id for no key update

-- name: add_to_subscriptions
-- A subscription that was deleted meanwhile is not found; the product's total has its messages.
update mqtt_subscriptions s set
    messages_received = s.messages_received + t.received,
    actions_executed = s.actions_executed + t.executed,
    actions_failed = s.actions_failed + t.failed,
    last_message_at = greatest(s.last_message_at, t.last_at)
from unnest($1::int[], $2::bigint[], $3::bigint[], $4::bigint[], $5::timestamptz[])
    as t(id, received, executed, failed, last_at)
where s.id = t.id

-- name: live
-- The live instances of each product in one row; see status_collector/core/aggregate.py for the rule.
select product_id,
    count(*) filter (where connected) as connected,
    coalesce(max(subscribed_topics_count) filter (where connected), 0) as subscribed_topics_count,
    (array_agg(client_id order by connected_since nulls last, instance_id)
        filter (where connected))[1] as client_id,
    (array_agg(broker_info::text order by connected_since nulls last, instance_id)
        filter (where connected))[1] as broker_info,
    (array_agg(connection_error order by last_heartbeat_at desc, instance_id)
        filter (where connection_error is not null))[1] as connection_error
from mqtt_instances where product_id = any($1::int[]) and state = 'live'
group by product_id

-- name: write_statuses
update mqtt_connection_status s set
    connected = t.connected, last_connected_at = t.last_connected_at,
    last_disconnected_at = t.last_disconnected_at, connection_error = t.connection_error,
    messages_received = t.messages_received, last_message_at = t.last_message_at,
    subscribed_topics_count = t.subscribed_topics_count, client_id = t.client_id,
    broker_info = t.broker_info::jsonb, updated_at = $11
from unnest($1::int[], $2::bool[], $3::timestamptz[], $4::timestamptz[], $5::text[], $6::bigint[],
            $7::timestamptz[], $8::int[], $9::text[], $10::text[])
    as t(product_id, connected, last_connected_at, last_disconnected_at, connection_error, messages_received,
         last_message_at, subscribed_topics_count, client_id, broker_info)
where s.product_id = t.product_id
