-- What DuckDB writes in its own way. Each element of a JSON array as a row; no row where there is no array.
create or replace macro stripe_metrics.json_items(value) as
    unnest(cast(case when json_type(value) = 'ARRAY' then value end as json[]));
