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
select product_id, state, connected, last_connected_at, last_disconnected_at, connection_error,
       messages_received, actions_executed, actions_failed, last_message_at, subscribed_topics_count, client_id,
       broker_info::text as broker_info, instances_live, instances_stale, instances_stopped, instances_connected,
       instances_applied, instances_rejected, instances_pending, instances_drifted,
       desired_revision, desired_digest, settled_at, writer
from mqtt_connection_status where product_id = any($1::int[])
order by product_id for no key update

-- name: desired
-- The newest configuration of each product that ever had one. Asked after the lock, so that it is not older
-- than what another collector has counted against.
select p, r.revision, r.digest, r.changed_at
from unnest($1::int[]) as t(p), lateral (
    select revision, digest, changed_at from mqtt_config_revisions where product_id = p order by revision desc limit 1
) r

-- name: owners
-- To which product each subscription belongs; one that is deleted is not in the answer.
select s.id, c.product_id
from mqtt_subscriptions s join mqtt_configs c on c.id = s.mqtt_config_id
where s.id = any($1::int[])

-- name: instances
select i.product_id, i.instance_id, boot_id, state, last_heartbeat_at, interval_seconds, connected, connected_since,
       client_id, broker_info::text as broker_info, connection_error, subscribed_topics_count, applied_revision,
       applied_digest, rejected_revision, rejected_error, messages_received, actions_executed, actions_failed,
       last_message_at, seq, counters
from mqtt_instances i join unnest($1::int[], $2::text[]) as k(product_id, instance_id) using (product_id, instance_id)

-- name: boots
-- Former boots.
select b.product_id, b.instance_id, b.boot_id, seq, counters
from mqtt_instance_boots b
join unnest($1::int[], $2::text[], $3::text[]) as k(product_id, instance_id, boot_id)
    using (product_id, instance_id, boot_id)

-- name: write_boots
insert into mqtt_instance_boots as b (product_id, instance_id, boot_id, seq, counters)
select p, i, t.boot, s, c
from unnest($1::int[], $2::text[], $3::text[], $4::bigint[], $5::bytea[]) as t(p, i, boot, s, c)
on conflict (product_id, instance_id, boot_id)
do update set seq = excluded.seq, counters = excluded.counters, updated_at = now()

-- name: write_instances
-- All of the newest heartbeat; the counts are totals over all boots.
insert into mqtt_instances as m (
    product_id, instance_id, state, boot_id, seq, started_at, sent_at, last_heartbeat_at, interval_seconds,
    version, host, connected, connected_since, client_id, broker_info, connection_error,
    applied_revision, applied_digest, rejected_revision, rejected_error, subscribed_topics_count,
    action_types, key_id, counters,
    messages_received, actions_executed, actions_failed, last_message_at)
select product_id, instance_id, state, boot_id, seq, started_at, sent_at, last_heartbeat_at, interval_seconds,
    version, host, connected, connected_since, client_id, broker_info::jsonb, connection_error,
    applied_revision, applied_digest, rejected_revision, rejected_error, subscribed_topics_count,
    array(select jsonb_array_elements_text(action_types::jsonb)), key_id, counters,
    messages_received, actions_executed, actions_failed, last_message_at
from unnest(
    $1::int[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::timestamptz[], $7::timestamptz[],
    $8::timestamptz[], $9::float8[], $10::text[], $11::text[], $12::bool[], $13::timestamptz[], $14::text[],
    $15::text[], $16::text[], $17::bigint[], $18::text[], $19::bigint[], $20::text[], $21::int[],
    $22::text[], $23::text[], $24::bytea[], $25::bigint[], $26::bigint[], $27::bigint[], $28::timestamptz[]
) as t(
    product_id, instance_id, state, boot_id, seq, started_at, sent_at, last_heartbeat_at, interval_seconds,
    version, host, connected, connected_since, client_id, broker_info, connection_error,
    applied_revision, applied_digest, rejected_revision, rejected_error, subscribed_topics_count,
    action_types, key_id, counters,
    messages_received, actions_executed, actions_failed, last_message_at)
on conflict (product_id, instance_id) do update set
    state = excluded.state, boot_id = excluded.boot_id, seq = excluded.seq, started_at = excluded.started_at,
    sent_at = excluded.sent_at, last_heartbeat_at = excluded.last_heartbeat_at,
    interval_seconds = excluded.interval_seconds, version = excluded.version, host = excluded.host,
    connected = excluded.connected, connected_since = excluded.connected_since, client_id = excluded.client_id,
    broker_info = excluded.broker_info, connection_error = excluded.connection_error,
    applied_revision = excluded.applied_revision, applied_digest = excluded.applied_digest,
    rejected_revision = excluded.rejected_revision, rejected_error = excluded.rejected_error,
    subscribed_topics_count = excluded.subscribed_topics_count,
    action_types = excluded.action_types, key_id = excluded.key_id, counters = excluded.counters,
    messages_received = excluded.messages_received, actions_executed = excluded.actions_executed,
    actions_failed = excluded.actions_failed, last_message_at = excluded.last_message_at

-- name: beat_instances
-- A heartbeat that tells nothing new but counts: no index is touched.
update mqtt_instances m set
    seq = t.seq, sent_at = t.sent_at, last_heartbeat_at = t.last_heartbeat_at, counters = t.counters,
    messages_received = t.received, actions_executed = t.executed, actions_failed = t.failed,
    last_message_at = t.last_at
from unnest($1::int[], $2::text[], $3::bigint[], $4::timestamptz[], $5::timestamptz[], $6::bytea[], $7::bigint[],
            $8::bigint[], $9::bigint[], $10::timestamptz[])
    as t(product_id, instance_id, seq, sent_at, last_heartbeat_at, counters, received, executed, failed, last_at)
where m.product_id = t.product_id and m.instance_id = t.instance_id

-- name: count_for_instances
-- Counts of a boot that is not the current one, or that came late.
update mqtt_instances m set
    seq = t.seq, counters = t.counters, messages_received = t.received, actions_executed = t.executed,
    actions_failed = t.failed, last_message_at = t.last_at
from unnest($1::int[], $2::text[], $3::bigint[], $4::bytea[], $5::bigint[], $6::bigint[], $7::bigint[],
            $8::timestamptz[])
    as t(product_id, instance_id, seq, counters, received, executed, failed, last_at)
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
returning s.id, s.messages_received, s.actions_executed, s.actions_failed, s.last_message_at

-- name: live
-- What the status shows of single live instances; see status_collector/core/aggregate.py for the rule. Each part
-- is the first entry of an index, however many instances there are.
select p as product_id,
    coalesce(
        (
            select subscribed_topics_count from mqtt_instances
            where product_id = p and state = 'live' and connected order by subscribed_topics_count desc limit 1
        ), 0
    ) as subscribed_topics_count,
    longest.client_id, longest.broker_info::text as broker_info,
    (
        select connection_error from mqtt_instances
        where product_id = p and state = 'live' and connection_error is not null order by instance_id limit 1
    ) as connection_error
from unnest($1::int[]) as t(p) left join lateral (
    select client_id, broker_info from mqtt_instances
    where product_id = p and state = 'live' and connected order by connected_since, instance_id limit 1
) longest on true

-- name: count_instances
-- All instances of products whose desired revision has moved; `progress` in aggregate.py says the same.
select product_id,
    count(*) filter (where state = 'live') as live,
    count(*) filter (where state = 'stale') as stale,
    count(*) filter (where state = 'stopped') as stopped,
    count(*) filter (where state = 'live' and connected) as connected,
    count(*) filter (where progress = 'applied') as applied,
    count(*) filter (where progress = 'rejected') as rejected,
    count(*) filter (where progress = 'pending') as pending,
    count(*) filter (where progress = 'drifted') as drifted
from (
    select product_id, state, connected, case
        when state <> 'live' then null
        when rejected_revision = revision and applied_revision is distinct from revision then 'rejected'
        when coalesce(applied_revision, 0) < revision then 'pending'
        when revision = 0 or (applied_revision = revision and coalesce(applied_digest, digest) = digest)
            then 'applied'
        else 'drifted'
    end as progress
    from mqtt_instances join unnest($1::int[], $2::bigint[], $3::text[]) as t(product_id, revision, digest)
        using (product_id)
) i
group by product_id

-- name: write_statuses
update mqtt_connection_status s set
    state = t.state, connected = t.connected, last_connected_at = t.last_connected_at,
    last_disconnected_at = t.last_disconnected_at, connection_error = t.connection_error,
    messages_received = t.messages_received, actions_executed = t.actions_executed,
    actions_failed = t.actions_failed, last_message_at = t.last_message_at,
    subscribed_topics_count = t.subscribed_topics_count, client_id = t.client_id,
    broker_info = t.broker_info::jsonb, instances_live = t.live, instances_stale = t.stale,
    instances_stopped = t.stopped, instances_connected = t.instances_connected, instances_applied = t.applied,
    instances_rejected = t.rejected, instances_pending = t.pending, instances_drifted = t.drifted,
    desired_revision = t.desired_revision, desired_digest = t.desired_digest, settled_at = t.settled_at,
    updated_at = $25, writer = $26
from unnest($1::int[], $2::text[], $3::bool[], $4::timestamptz[], $5::timestamptz[], $6::text[], $7::bigint[],
            $8::bigint[], $9::bigint[], $10::timestamptz[], $11::int[], $12::text[], $13::text[], $14::int[],
            $15::int[], $16::int[], $17::int[], $18::int[], $19::int[], $20::int[], $21::int[], $22::bigint[],
            $23::text[], $24::timestamptz[])
    as t(product_id, state, connected, last_connected_at, last_disconnected_at, connection_error,
         messages_received, actions_executed, actions_failed, last_message_at, subscribed_topics_count, client_id,
         broker_info, live, stale, stopped, instances_connected, applied, rejected, pending, drifted,
         desired_revision, desired_digest, settled_at)
where s.product_id = t.product_id

-- name: add_activity
insert into mqtt_activity (product_id, instance_id, kind, at, revision, detail)
select p, i, k, $6, r, d from unnest($1::int[], $2::text[], $3::text[], $4::bigint[], $5::text[]) as t(p, i, k, r, d)

-- name: add_to_minutes
insert into mqtt_metrics_minute as m (
    product_id, subscription_id, at, received, executed, failed, latency, connected_instances)
select p, s, a, r, e, f, l::bigint[], c
from unnest($1::int[], $2::int[], $3::timestamptz[], $4::bigint[], $5::bigint[], $6::bigint[], $7::text[],
            $8::int[]) as t(p, s, a, r, e, f, l, c)
on conflict (product_id, subscription_id, at) do update set
    received = m.received + excluded.received, executed = m.executed + excluded.executed,
    failed = m.failed + excluded.failed, latency = mqtt_add_counts(m.latency, excluded.latency),
    connected_instances = greatest(m.connected_instances, excluded.connected_instances)
