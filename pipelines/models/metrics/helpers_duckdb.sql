-- What DuckDB writes in its own way. Each element of a JSON array as a row; no row where there is no array.
create or replace macro stripe_metrics.json_items(value) as
    unnest(cast(case when json_type(value) = 'ARRAY' then value end as json[]));

-- A text of an invoice line's `parent`, by its place in this list: one parse for all of them.
create or replace macro stripe_metrics.line_text(parent, place) as
    json_extract_string(parent, [
        '$.subscription_item_details.subscription', '$.subscription_item_details.subscription_item',
        '$.subscription_item_details.invoice_item', '$.subscription_item_details.proration',
        '$.subscription_item_details.proration_details.credited_items', '$.invoice_item_details.subscription',
        '$.invoice_item_details.invoice_item', '$.invoice_item_details.proration',
        '$.invoice_item_details.proration_details.credited_items'])[place];

-- A field of a JSON object that is a number of unix seconds.
create or replace macro stripe_metrics.json_second(value, field) as
    to_timestamp(cast(json_extract_string(value, ['$.start', '$.end'])[case field when 'start' then 1 else 2 end] as bigint));

-- The price of an invoice line's `pricing`.
create or replace macro stripe_metrics.line_price(pricing) as json_extract_string(pricing, '$.price_details.price');
