-- get_config --
-- Everything of endpoint 1 in one row. Parameter: product id.
select json_build_object(
    'product_id', p.id,
    'variables', p.variables,
    'config', to_json(c),
    'subscriptions', coalesce(
        (select json_agg(s order by s.id) from mqtt_subscriptions s where s.mqtt_config_id = c.id), '[]'
    ),
    'status', (select to_json(t) from mqtt_connection_status t where t.product_id = p.id),
    'last_revision', coalesce(
        c.revision, (select revision from mqtt_config_tombstones t where t.product_id = p.id), 0
    )
)
from products p left join mqtt_configs c on c.product_id = p.id
where p.id = $1;

-- read_state --
-- All that a write needs to know, at one moment. Parameters: product id, how many fresh subscription ids.
select json_build_object(
    'now', now(),
    'product', to_json(p),
    'config', to_json(c),
    'subscriptions', coalesce(
        (select json_agg(s order by s.id) from mqtt_subscriptions s where s.mqtt_config_id = c.id), '[]'
    ),
    'secrets', coalesce(
        (select json_agg(s order by s.name) from product_secrets s where s.product_id = p.id), '[]'
    ),
    'tombstone', (select to_json(t) from mqtt_config_tombstones t where t.product_id = p.id),
    'live', coalesce(
        (
            select json_agg(json_build_object('instance_id', instance_id, 'action_types', action_types))
            from mqtt_instances
            where product_id = p.id and state = 'live'
                and last_heartbeat_at > now() - 3 * interval_seconds * interval '1 second'
        ), '[]'
    ),
    'ids', array(
        select nextval(pg_get_serial_sequence('mqtt_subscriptions', 'id')) from generate_series(1, $2::integer)
    )
)
from products p left join mqtt_configs c on c.product_id = p.id
where p.id = $1;

-- save --
-- Writes a changed configuration and its history in one statement, provided that nothing has changed since it
-- was read: the row must be at the revision that was read ($2), or, when there was none ($4), must still be
-- missing. Two writers that both saw none meet at the unique product id, two that meet anywhere else at the
-- primary key of the history: one of them writes nothing and reads again.
-- A secret that is not among those changed ($5) is not written, because rotate-keys may have encrypted it anew
-- meanwhile.
-- Parameters: 1 product id, 2 revision read, 3 config columns (json), 4 is it new, 5 changed secret columns,
-- 6 removed subscription ids, 7 changed subscriptions (json array), 8 new subscriptions (json array),
-- 9 variables (null: unchanged), 10 now, 11 actor, 12 action, 13 before, 14 after (json), 15 digest,
-- 16 product name, 17 product description (null: unchanged), 18 named secrets to put (json array of name and
-- token), 19 names of secrets to remove.
-- Answers the id of the configuration; no row when it has moved.
with given as (
    select * from json_to_record($3::text::json) as g (
        broker_host text, broker_port integer, use_tls boolean, verify_cert boolean, username text,
        password text, client_id text, keep_alive integer, clean_session boolean, protocol text,
        session_expiry_seconds bigint, transport text, websocket_path text, tls_min_version text,
        ca_certificate text, client_certificate text, client_key text, topic_prefix text, topic_pattern text,
        use_shared_subscriptions boolean, shared_group text, qos smallint
    )
), updated as (
    update mqtt_configs c
    set broker_host = g.broker_host, broker_port = g.broker_port, use_tls = g.use_tls,
        verify_cert = g.verify_cert, username = g.username,
        password = case when 'password' = any($5::text[]) then g.password else c.password end,
        client_id = g.client_id, keep_alive = g.keep_alive, clean_session = g.clean_session,
        protocol = g.protocol, session_expiry_seconds = g.session_expiry_seconds, transport = g.transport,
        websocket_path = g.websocket_path, tls_min_version = g.tls_min_version,
        ca_certificate = g.ca_certificate, client_certificate = g.client_certificate,
        client_key = case when 'client_key' = any($5) then g.client_key else c.client_key end,
        topic_prefix = g.topic_prefix, topic_pattern = g.topic_pattern, use_shared_subscriptions = g.use_shared_subscriptions,
        shared_group = g.shared_group, qos = g.qos, revision = c.revision + 1, updated_at = $10
    from given g
    where not $4::boolean and c.product_id = $1 and c.revision = $2
    returning c.id, c.password, c.client_key
), created as (
    insert into mqtt_configs (
        product_id, broker_host, broker_port, use_tls, verify_cert, username, password, client_id, keep_alive,
        clean_session, protocol, session_expiry_seconds, transport, websocket_path, tls_min_version,
        ca_certificate, client_certificate, client_key, topic_prefix, topic_pattern, use_shared_subscriptions,
        shared_group, qos, revision, created_at, updated_at
    )
    select $1, g.broker_host, g.broker_port, g.use_tls, g.verify_cert, g.username, g.password, g.client_id,
        g.keep_alive, g.clean_session, g.protocol, g.session_expiry_seconds, g.transport, g.websocket_path,
        g.tls_min_version, g.ca_certificate, g.client_certificate, g.client_key, g.topic_prefix,
        g.topic_pattern, g.use_shared_subscriptions, g.shared_group, g.qos, $2 + 1, $10, $10
    from given g
    where $4::boolean
    on conflict (product_id) do nothing
    returning id, password, client_key
), config as (
    select * from updated union all select * from created
), removed as (
    delete from mqtt_subscriptions s using config where s.mqtt_config_id = config.id and s.id = any($6::integer[])
), changed as (
    update mqtt_subscriptions s
    set name = n.name, topic = n.topic, enabled = n.enabled, description = n.description, actions = n.actions,
        concurrency = n.concurrency, updated_at = $10
    from config, json_to_recordset($7::text::json) as n (
        id integer, name text, topic text, enabled boolean, description text, actions jsonb,
        concurrency integer
    )
    where s.mqtt_config_id = config.id and s.id = n.id
), added as (
    insert into mqtt_subscriptions (
        id, mqtt_config_id, name, topic, enabled, description, actions, concurrency, created_at, updated_at
    )
    select n.id, config.id, n.name, n.topic, n.enabled, n.description, n.actions, n.concurrency, $10, $10
    from config, json_to_recordset($8::text::json) as n (
        id integer, name text, topic text, enabled boolean, description text, actions jsonb,
        concurrency integer
    )
), product as (
    update products p
    set variables = coalesce($9::text::jsonb, p.variables), name = coalesce($16::text, p.name),
        description = coalesce($17::text, p.description), updated_at = $10
    from config where p.id = $1 and ($9::text is not null or $16::text is not null or $17::text is not null)
), secrets_put as (
    insert into product_secrets (product_id, name, secret, created_at, updated_at)
    select $1, n.name, n.token, $10, $10
    from config, json_to_recordset($18::text::json) as n (name text, token text)
    on conflict (product_id, name) do update set secret = excluded.secret, updated_at = excluded.updated_at
), secrets_removed as (
    delete from product_secrets s using config where s.product_id = $1 and s.name = any($19::text[])
), tombstone as (
    delete from mqtt_config_tombstones t using created where t.product_id = $1
), history as (
    insert into mqtt_config_revisions (
        product_id, revision, changed_at, changed_by, action, before, after, password, client_key, digest
    )
    select $1, $2 + 1, $10, $11, $12, $13::text::jsonb, $14::text::jsonb, config.password, config.client_key, $15
    from config
)
select id from config;

-- remove --
-- Removes a configuration, leaving its tombstone and a row of history.
-- Parameters: product id, revision read, snapshot, now, actor, action, before (json), digest.
-- Answers the new revision; no row when it has moved.
with gone as (
    delete from mqtt_configs where product_id = $1 and revision = $2 returning product_id, revision + 1 as revision
), tombstone as (
    insert into mqtt_config_tombstones (product_id, revision, snapshot, created_at)
    select product_id, revision, $3, $4 from gone
    on conflict (product_id) do update
    set revision = excluded.revision, snapshot = excluded.snapshot, published_revision = 0,
        created_at = excluded.created_at
), history as (
    insert into mqtt_config_revisions (product_id, revision, changed_at, changed_by, action, before, digest)
    select product_id, revision, $4, $5, $6, $7::text::jsonb, $8 from gone
)
select revision from gone;
