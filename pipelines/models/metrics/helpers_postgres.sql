-- What Postgres writes in its own way. Each element of a JSON array as a row; no row where there is no array.
create or replace function stripe_metrics.json_items(value jsonb) returns setof jsonb
    language sql immutable parallel safe as $$
    select pg_catalog.jsonb_array_elements(case when pg_catalog.jsonb_typeof(value) = 'array' then value end)
$$;
