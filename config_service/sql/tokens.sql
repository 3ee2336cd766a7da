-- list_tokens --
-- One page in order of id. Parameters: after this id, how many.
select coalesce(json_agg(t), '[]')
from (
    select id, name, role, product_ids, created_at, created_by, expires_at, last_used_at
    from api_tokens where id > $1 order by id limit $2
) t;

-- missing_products --
-- Those of the ids that are no product's. Parameter: ids.
select coalesce(json_agg(wanted.id), '[]') from unnest($1::integer[]) wanted (id)
where not exists (select from products p where p.id = wanted.id);

-- create_token --
-- Parameters: name, hash, role, product ids, created by, expires at.
insert into api_tokens (name, token_hash, role, product_ids, created_by, expires_at)
values ($1, $2, $3, $4, $5, $6)
returning json_build_object(
    'id', id, 'name', name, 'role', role, 'product_ids', product_ids, 'created_at', created_at,
    'created_by', created_by, 'expires_at', expires_at, 'last_used_at', last_used_at
);

-- delete_token --
delete from api_tokens where id = $1 returning id;

-- use_token --
-- Who the token stands for; notes the use. Parameter: hash.
update api_tokens set last_used_at = now()
where token_hash = $1 and (expires_at is null or expires_at > now())
returning json_build_object('name', name, 'role', role, 'product_ids', product_ids, 'expires_at', expires_at);
