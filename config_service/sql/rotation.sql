-- product_keys --
-- A batch of tokens in order. Parameters: after this place (product id, number), how many.
select coalesce(json_agg(t), '[]') from (
    select id as product_id, 0 as number, product_key as token from products
    where (id, 0) > ($1::integer, $2::bigint) order by id limit $3
) t;

-- replace_product_key --
-- Compare-and-set. Parameters: product id, number, old token, new token.
update products set product_key = $4 where id = $1 and $2::bigint = 0 and product_key = $3;

-- previous_product_keys --
select coalesce(json_agg(t), '[]') from (
    select id as product_id, 0 as number, previous_product_key as token from products
    where (id, 0) > ($1::integer, $2::bigint) and previous_product_key is not null order by id limit $3
) t;

-- replace_previous_product_key --
update products set previous_product_key = $4 where id = $1 and $2::bigint = 0 and previous_product_key = $3;

-- passwords --
select coalesce(json_agg(t), '[]') from (
    select product_id, 0 as number, password as token from mqtt_configs
    where (product_id, 0) > ($1::integer, $2::bigint) and password is not null order by product_id limit $3
) t;

-- replace_password --
update mqtt_configs set password = $4 where product_id = $1 and $2::bigint = 0 and password = $3;

-- past_passwords --
select coalesce(json_agg(t), '[]') from (
    select product_id, revision as number, password as token from mqtt_config_revisions
    where (product_id, revision) > ($1::integer, $2::bigint) and password is not null
    order by product_id, revision limit $3
) t;

-- replace_past_password --
update mqtt_config_revisions set password = $4 where product_id = $1 and revision = $2 and password = $3;

-- client_keys --
select coalesce(json_agg(t), '[]') from (
    select product_id, 0 as number, client_key as token from mqtt_configs
    where (product_id, 0) > ($1::integer, $2::bigint) and client_key is not null order by product_id limit $3
) t;

-- replace_client_key --
update mqtt_configs set client_key = $4 where product_id = $1 and $2::bigint = 0 and client_key = $3;

-- past_client_keys --
select coalesce(json_agg(t), '[]') from (
    select product_id, revision as number, client_key as token from mqtt_config_revisions
    where (product_id, revision) > ($1::integer, $2::bigint) and client_key is not null
    order by product_id, revision limit $3
) t;

-- replace_past_client_key --
update mqtt_config_revisions set client_key = $4 where product_id = $1 and revision = $2 and client_key = $3;

-- named_secrets --
select coalesce(json_agg(t), '[]') from (
    select product_id, id as number, secret as token, name from product_secrets
    where (product_id, id) > ($1::integer, $2::bigint) order by product_id, id limit $3
) t;

-- replace_named_secret --
update product_secrets set secret = $4 where product_id = $1 and id = $2 and secret = $3;
