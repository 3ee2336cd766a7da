-- save_unconfigured_secrets --
-- Where no configuration carries them. Parameters: product id, secrets to put (json array of name and token),
-- names to remove, now. No row when there is a configuration.
with product as (
    select id from products p
    where p.id = $1 and not exists (select from mqtt_configs where product_id = $1)
), removed as (
    delete from product_secrets s using product where s.product_id = product.id and s.name = any($3::text[])
), put as (
    insert into product_secrets (product_id, name, secret, created_at, updated_at)
    select product.id, n.name, n.token, $4, $4
    from product, json_to_recordset($2::text::json) as n (name text, token text)
    on conflict (product_id, name) do update set secret = excluded.secret, updated_at = excluded.updated_at
)
select id from product;
