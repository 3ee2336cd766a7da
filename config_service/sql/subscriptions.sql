-- list_subscriptions --
-- One page in order of id. Parameters: product id, after this id, how many.
select json_build_object(
    'config', to_json(c),
    'variables', p.variables,
    'subscriptions', coalesce(
        (
            select json_agg(s) from (
                select * from mqtt_subscriptions
                where mqtt_config_id = c.id and id > $2 order by id limit $3
            ) s
        ), '[]'
    )
)
from products p left join mqtt_configs c on c.product_id = p.id
where p.id = $1;

-- get_subscription --
-- Parameters: product id, subscription id.
select json_build_object(
    'config', to_json(c),
    'variables', p.variables,
    'subscriptions', coalesce(
        (select json_agg(s) from mqtt_subscriptions s where s.mqtt_config_id = c.id and s.id = $2), '[]'
    )
)
from products p left join mqtt_configs c on c.product_id = p.id
where p.id = $1;
