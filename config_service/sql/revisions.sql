-- list_revisions --
-- One page, the newest first. Parameters: product id, below this revision, how many.
select (
    select coalesce(json_agg(r), '[]') from (
        select product_id, revision, changed_at, changed_by, action, before, after
        from mqtt_config_revisions
        where product_id = $1 and revision < $2 order by revision desc limit $3
    ) r
)
from products where id = $1;

-- get_revision --
-- Parameters: product id, revision.
select to_json(r) from mqtt_config_revisions r where product_id = $1 and revision = $2;

-- recent_changes --
-- For the event stream: the revisions after the one that was told last, none older than a minute.
-- Parameters: product id, revision told last.
select json_agg(r order by revision) from (
    select product_id, revision, changed_at, changed_by, action from mqtt_config_revisions
    where product_id = $1 and revision > $2 and changed_at > now() - interval '1 minute'
    order by revision desc limit 20
) r;
