-- What Postgres writes in its own way. Each element of a JSON array as a row; no row where there is no array.
create or replace function stripe_metrics.json_items(value jsonb) returns setof jsonb
    language sql immutable parallel safe as $$
    select pg_catalog.jsonb_array_elements(case when pg_catalog.jsonb_typeof(value) = 'array' then value end)
$$;

-- A text of an invoice line's `parent`, by its place in this list.
create or replace function stripe_metrics.line_text(parent jsonb, place integer) returns text
    language sql immutable parallel safe as $$
    select case place
        when 1 then parent #>> '{subscription_item_details,subscription}'
        when 2 then parent #>> '{subscription_item_details,subscription_item}'
        when 3 then parent #>> '{subscription_item_details,invoice_item}'
        when 4 then parent #>> '{subscription_item_details,proration}'
        when 5 then parent #>> '{subscription_item_details,proration_details,credited_items}'
        when 6 then parent #>> '{invoice_item_details,subscription}'
        when 7 then parent #>> '{invoice_item_details,invoice_item}'
        when 8 then parent #>> '{invoice_item_details,proration}'
        when 9 then parent #>> '{invoice_item_details,proration_details,credited_items}' end
$$;

-- A field of a JSON object that is a number of unix seconds: `start` or `end`.
create or replace function stripe_metrics.json_second(value jsonb, field text) returns timestamptz
    language sql immutable parallel safe as $$ select pg_catalog.to_timestamp(cast(value ->> field as bigint)) $$;

-- The price of an invoice line's `pricing`.
create or replace function stripe_metrics.line_price(pricing jsonb) returns text
    language sql immutable parallel safe as $$ select pricing #>> '{price_details,price}' $$;
