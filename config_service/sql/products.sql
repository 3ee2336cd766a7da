-- new_product_id --
-- The id of a product to come: its key is encrypted together with the id.
select nextval(pg_get_serial_sequence('products', 'id'));

-- create_product --
-- Parameters: id, name, description, variables, product key (encrypted), key id.
insert into products (id, name, description, variables, product_key, product_key_id)
values ($1, $2, $3, $4::text::jsonb, $5, $6)
returning to_json(products);

-- list_products --
-- One page in order of id. Parameters: after this id, how many, only these ids (null: all).
select coalesce(json_agg(p), '[]')
from (
    select * from products
    where id > $1 and ($3::integer[] is null or id = any($3))
    order by id limit $2
) p;

-- get_product --
select to_json(p) from products p where id = $1;

-- product_name_taken --
-- By another product than $2.
select exists (select from products where name = $1 and id <> $2);

-- update_product --
-- Name and description only: variables are part of the configuration and change with it.
-- Parameters: id, name, description.
update products set name = $2, description = $3, updated_at = now() where id = $1
returning to_json(products);

-- update_unconfigured_product --
-- With variables, where no configuration carries them. Parameters: id, name, description, variables.
update products set name = $2, description = $3, variables = $4::text::jsonb, updated_at = now()
where id = $1 and not exists (select from mqtt_configs where product_id = $1)
returning to_json(products);

-- lock_product --
-- Keeps a configuration from being created while the product is deleted.
select id from products where id = $1 for update;

-- delete_product --
-- With everything below it; the tombstone of its configuration stays.
delete from products where id = $1;

-- renew_product_key --
-- Compare-and-set on the key. What is published is behind from now on, though its revision stays.
-- Parameters: id, old key id, new key (encrypted), new key id, tombstone's snapshot sealed anew (or null).
with renewed as (
    update products
    set previous_product_key = product_key, previous_product_key_id = product_key_id,
        product_key = $3, product_key_id = $4, updated_at = now()
    where id = $1 and product_key_id = $2
    returning id
), behind as (
    update mqtt_configs c set published_revision = revision - 1 from renewed where c.product_id = renewed.id
), tombstone as (
    update mqtt_config_tombstones t set snapshot = $5, published_revision = revision - 1
    from renewed where t.product_id = renewed.id and $5::text is not null
)
select id from renewed;

-- end_previous_product_key --
-- Parameters: id, id of the key to end, tombstone's snapshot sealed anew (or null).
with ended as (
    update products set previous_product_key = null, previous_product_key_id = null, updated_at = now()
    where id = $1 and previous_product_key_id = $2
    returning id
), behind as (
    update mqtt_configs c set published_revision = revision - 1 from ended where c.product_id = ended.id
), tombstone as (
    update mqtt_config_tombstones t set snapshot = $3, published_revision = revision - 1
    from ended where t.product_id = ended.id and $3::text is not null
)
select id from ended;

-- products_done_with_previous_key --
-- Where some instance has the new key, and none that may run has another.
select coalesce(json_agg(p.id), '[]')
from products p
where p.previous_product_key_id is not null
    and exists (
        select from mqtt_instances i where i.product_id = p.id and i.key_id = p.product_key_id
    )
    and not exists (
        select from mqtt_instances i
        where i.product_id = p.id and i.state <> 'stopped' and i.key_id is distinct from p.product_key_id
    );
