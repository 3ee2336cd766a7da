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
-- Writes changed configurations and their history in one statement, each provided that nothing has changed since
-- it was read: the row must be at the revision and time that were read and the product must have the keys that
-- were read, or, when there was no row ("new"), it must still be missing. Whoever has moved is left out of the
-- answer, the others are written. Two writers that both saw no row meet at the unique product id, two that meet
-- anywhere else at the primary key of the history: the whole statement of one of them fails.
-- Rows are locked in order of the product, so that two groups never wait for each other.
-- A secret that is not among those changed is not written, because rotate-keys may have encrypted it anew meanwhile.
-- Parameter: one JSON object for each product (`Save` in saver.py).
-- Answers an array of `Saved`.
with given as materialized (
    select g.*
    from unnest($1::text[]) as document,
        json_to_record(document::json) as g (
            product_id integer, revision bigint, updated_at timestamptz, key_id text, previous_key_id text,
            new boolean, config json, secrets text[], removed integer[], changed json, added json,
            variables jsonb, name text, description text, put_secrets json, removed_secrets text[],
            actor text, action text, before jsonb, after jsonb, digest text
        )
    join products p on p.id = g.product_id and p.product_key_id = g.key_id
        and p.previous_product_key_id is not distinct from g.previous_key_id
), locked as materialized (
    select c.id, g.*
    from given g join mqtt_configs c on c.product_id = g.product_id
    where not g.new and c.revision = g.revision and c.updated_at = g.updated_at
    order by c.product_id
    for update of c
), updated as (
    update mqtt_configs c
    set broker_host = g.broker_host, broker_port = g.broker_port, use_tls = g.use_tls,
        verify_cert = g.verify_cert, username = g.username,
        password = case when 'password' = any(l.secrets) then g.password else c.password end,
        client_key = case when 'client_key' = any(l.secrets) then g.client_key else c.client_key end,
        client_id = g.client_id, keep_alive = g.keep_alive, clean_session = g.clean_session,
        protocol = g.protocol, session_expiry_seconds = g.session_expiry_seconds, transport = g.transport,
        websocket_path = g.websocket_path, tls_min_version = g.tls_min_version,
        ca_certificate = g.ca_certificate, client_certificate = g.client_certificate,
        topic_prefix = g.topic_prefix, topic_pattern = g.topic_pattern,
        use_shared_subscriptions = g.use_shared_subscriptions, shared_group = g.shared_group, qos = g.qos,
        revision = c.revision + 1, updated_at = now()
    from locked l, json_to_record(l.config) as g (
        broker_host text, broker_port integer, use_tls boolean, verify_cert boolean, username text,
        password text, client_id text, keep_alive integer, clean_session boolean, protocol text,
        session_expiry_seconds bigint, transport text, websocket_path text, tls_min_version text,
        ca_certificate text, client_certificate text, client_key text, topic_prefix text, topic_pattern text,
        use_shared_subscriptions boolean, shared_group text, qos smallint
    )
    where c.id = l.id and c.revision = l.revision
    returning c.id, c.product_id, c.password, c.client_key
), created as (
    insert into mqtt_configs (
        product_id, broker_host, broker_port, use_tls, verify_cert, username, password, client_id, keep_alive,
        clean_session, protocol, session_expiry_seconds, transport, websocket_path, tls_min_version,
        ca_certificate, client_certificate, client_key, topic_prefix, topic_pattern, use_shared_subscriptions,
        shared_group, qos, revision, created_at, updated_at
    )
    select n.product_id, g.broker_host, g.broker_port, g.use_tls, g.verify_cert, g.username, g.password,
        g.client_id, g.keep_alive, g.clean_session, g.protocol, g.session_expiry_seconds, g.transport,
        g.websocket_path, g.tls_min_version, g.ca_certificate, g.client_certificate, g.client_key,
        g.topic_prefix, g.topic_pattern, g.use_shared_subscriptions, g.shared_group, g.qos, n.revision + 1, now(), now()
    from given n, json_to_record(n.config) as g (
        broker_host text, broker_port integer, use_tls boolean, verify_cert boolean, username text,
        password text, client_id text, keep_alive integer, clean_session boolean, protocol text,
        session_expiry_seconds bigint, transport text, websocket_path text, tls_min_version text,
        ca_certificate text, client_certificate text, client_key text, topic_prefix text, topic_pattern text,
        use_shared_subscriptions boolean, shared_group text, qos smallint
    )
    where n.new
    order by n.product_id
    on conflict (product_id) do nothing
    returning id, product_id, password, client_key
), config as materialized (
    select g.*, w.id, w.password, w.client_key
    from (select * from updated union all select * from created) w join given g using (product_id)
), removed as (
    delete from mqtt_subscriptions s using config where s.mqtt_config_id = config.id and s.id = any(config.removed)
), changed as (
    update mqtt_subscriptions s
    set name = n.name, topic = n.topic, enabled = n.enabled, description = n.description, actions = n.actions,
        concurrency = n.concurrency, updated_at = now()
    from config, json_to_recordset(config.changed) as n (
        id integer, name text, topic text, enabled boolean, description text, actions jsonb,
        concurrency integer
    )
    where s.mqtt_config_id = config.id and s.id = n.id
    returning s.mqtt_config_id, s.id, s.messages_received, s.last_message_at, s.actions_executed, s.actions_failed
), added as (
    insert into mqtt_subscriptions (
        id, mqtt_config_id, name, topic, enabled, description, actions, concurrency, created_at, updated_at
    )
    select n.id, config.id, n.name, n.topic, n.enabled, n.description, n.actions, n.concurrency, now(), now()
    from config, json_to_recordset(config.added) as n (
        id integer, name text, topic text, enabled boolean, description text, actions jsonb,
        concurrency integer
    )
), product as (
    update products p
    set variables = coalesce(config.variables, p.variables), name = coalesce(config.name, p.name),
        description = coalesce(config.description, p.description), updated_at = now()
    from config
    where p.id = config.product_id
        and (config.variables is not null or config.name is not null or config.description is not null)
), secrets_put as (
    insert into product_secrets (product_id, name, secret, created_at, updated_at)
    select config.product_id, n.name, n.token, n.updated_at, n.updated_at
    from config, json_to_recordset(config.put_secrets) as n (name text, token text, updated_at timestamptz)
    on conflict (product_id, name) do update set secret = excluded.secret, updated_at = excluded.updated_at
), secrets_removed as (
    delete from product_secrets s
    using config
    where s.product_id = config.product_id and s.name = any(config.removed_secrets)
), tombstone as (
    delete from mqtt_config_tombstones t using created where t.product_id = created.product_id
), history as (
    insert into mqtt_config_revisions (
        product_id, revision, changed_at, changed_by, action, before, after, password, client_key, digest
    )
    select product_id, revision + 1, now(), actor, action, before, after, password, client_key, digest
    from config
)
select coalesce(json_agg(json_build_object(
    'product_id', config.product_id,
    'config_id', config.id,
    'at', now(),
    'live', coalesce(
        (
            select json_agg(json_build_object('instance_id', instance_id, 'action_types', action_types))
            from mqtt_instances i
            where i.product_id = config.product_id and state = 'live'
                and last_heartbeat_at > now() - 3 * interval_seconds * interval '1 second'
        ), '[]'
    ),
    'counts', coalesce((select json_agg(s) from changed s where s.mqtt_config_id = config.id), '[]')
)), '[]')
from config;

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
