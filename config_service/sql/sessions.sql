-- create_session --
-- Also removes what has expired. No row when the token is gone meanwhile.
-- Parameters: hash, hash of the token (null: ADMIN_TOKEN), lifetime in seconds.
with expired as (
    delete from api_sessions where expires_at <= now()
)
insert into api_sessions (hash, token_id, expires_at)
select $1, t.id, least(now() + $3::integer * interval '1 second', t.expires_at)
from (select) one left join api_tokens t on t.token_hash = $2
where $2::bytea is null or (t.id is not null and (t.expires_at is null or t.expires_at > now()))
returning true;

-- use_session --
-- Who the session stands for; notes the use of its token. Parameter: hash.
with session as (
    select token_id, expires_at from api_sessions where hash = $1 and expires_at > now()
), used as (
    update api_tokens t set last_used_at = now() from session where t.id = session.token_id
    returning t.name, t.role, t.product_ids
)
select json_build_object(
    'name', coalesce(used.name, 'administrator'), 'role', coalesce(used.role, 'administrator'),
    'product_ids', used.product_ids, 'expires_at', session.expires_at
)
from session left join used on true
where session.token_id is null or used.name is not null;

-- delete_session --
delete from api_sessions where hash = $1 returning true;
