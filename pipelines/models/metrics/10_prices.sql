-- What prices say: how often they bill, what a quantity costs, and which coupons stand behind discounts.

-- Every recurring price, from `prices`, or else as the items of subscriptions show it (without its tiers).
create table build.terms as
with shown as (
    select _account_id, id as price, product, active, currency, type, billing_scheme, tiers_mode, unit_amount,
           unit_amount_decimal, transform_quantity, recurring, currency_options, tiers, 1 as preference, _as_of
    from stripe.prices
    union all
    select _account_id, price ->> 'id', price ->> 'product', cast(price ->> 'active' as boolean), price ->> 'currency',
           'recurring', price ->> 'billing_scheme', price ->> 'tiers_mode', cast(price ->> 'unit_amount' as bigint),
           cast(price ->> 'unit_amount_decimal' as decimal(38, 12)), price -> 'transform_quantity', price -> 'recurring',
           null, price -> 'tiers', 2, _as_of
    from source.subscription_items
    where price is not null
), ranked as (
    select *, row_number() over (partition by _account_id, price order by preference, _as_of desc) as place from shown
    where (recurring ->> 'interval') in ('day', 'week', 'month', 'year')
      and cast(recurring ->> 'interval_count' as bigint) > 0
)
select _account_id, price, product, active, currency, billing_scheme, tiers_mode, tiers, currency_options,
       coalesce(unit_amount_decimal, unit_amount) as unit_amount,
       coalesce(recurring ->> 'usage_type', 'licensed') as usage_type,
       cast(transform_quantity ->> 'divide_by' as bigint) as divide_by,
       transform_quantity ->> 'round' as pack_round,
       recurring ->> 'interval' as every, cast(recurring ->> 'interval_count' as bigint) as every_count,
       case recurring ->> 'interval' when 'year' then 1 when 'month' then 12 when 'week' then 52 else 365 end as a_year,
       case recurring ->> 'interval' when 'year' then 365 when 'month' then 28 when 'week' then 7 else 1 end
           * cast(recurring ->> 'interval_count' as bigint) as least_days
from ranked
where place = 1;

-- The tiers of a price, from the lowest; `above` is where the tier before ends. In each currency that it is sold in.
create table build.tiers as
with listed as (
    select _account_id, price, currency, stripe_metrics.json_items(tiers) as tier from build.terms where tiers is not null
), read as (
    select _account_id, price, currency, cast(tier ->> 'up_to' as bigint) as up_to,
           coalesce(cast(tier ->> 'unit_amount_decimal' as decimal(38, 12)),
                    cast(tier ->> 'unit_amount' as decimal(38, 12)), 0) as unit_amount,
           coalesce(cast(tier ->> 'flat_amount_decimal' as decimal(38, 12)),
                    cast(tier ->> 'flat_amount' as decimal(38, 12)), 0) as flat_amount
    from listed
)
select *, coalesce(lag(up_to) over (partition by _account_id, price, currency
                                    order by coalesce(up_to, 9000000000000000)), 0) as above
from read;

-- The coupon behind each discount, by the id under which invoice lines name it. From the table, from where discounts are
-- expanded, and from events.
create table build.discounts as
with told as (
    select _account_id, type, created, data -> 'object' as object from source.events where type like 'customer.discount.%'
    union all
    select account_id, type, created, (payload -> 'data') -> 'object' from source.stripe_webhook_events
    where type like 'customer.discount.%'
), shown as (
    select _account_id, id as discount, coalesce((source -> 'coupon') ->> 'id', source ->> 'coupon', coupon ->> 'id') as coupon,
           customer, subscription, subscription_item, start as starts, least("end", _deleted_at) as ends, 1 as preference
    from stripe.discounts
    union all
    select _account_id, value ->> 'id',
           coalesce(((value -> 'source') -> 'coupon') ->> 'id', (value -> 'source') ->> 'coupon', (value -> 'coupon') ->> 'id'),
           value ->> 'customer', coalesce(subscription, value ->> 'subscription'),
           coalesce(item, value ->> 'subscription_item'),
           to_timestamp(cast(value ->> 'start' as bigint)), to_timestamp(cast(value ->> 'end' as bigint)), 2
    from (
        select _account_id, id as subscription, cast(null as text) as item, stripe_metrics.json_items(discounts) as value
        from source.subscriptions where cast(discounts as text) like '%{%'
        union all
        select _account_id, _parent_id, id, stripe_metrics.json_items(discounts)
        from source.subscription_items where cast(discounts as text) like '%{%'
        union all
        select _account_id, cast(null as text), cast(null as text), stripe_metrics.json_items(discounts)
        from source.invoices where cast(discounts as text) like '%{%'
        union all
        select _account_id, cast(null as text), cast(null as text), discount from stripe.customers where discount is not null
    ) as expanded
    where (value ->> 'id') is not null
    union all
    select _account_id, object ->> 'id', coalesce(max(((object -> 'source') -> 'coupon') ->> 'id'), max((object -> 'source') ->> 'coupon'), max((object -> 'coupon') ->> 'id')),
           max(object ->> 'customer'), max(object ->> 'subscription'), max(object ->> 'subscription_item'),
           to_timestamp(max(cast(object ->> 'start' as bigint))),
           least(to_timestamp(min(cast(object ->> 'end' as bigint))),
                 min(case when type = 'customer.discount.deleted' then created end)), 3
    from told where (object ->> 'id') is not null group by _account_id, object ->> 'id'
), ranked as (
    select *, row_number() over (partition by _account_id, discount
                                 order by preference, case when subscription is null then 1 else 0 end) as place
    from shown
)
select r._account_id, r.discount, r.coupon, r.customer, r.subscription, r.subscription_item, r.starts, r.ends,
       cast(c.percent_off as decimal(9, 4)) as percent_off, c.amount_off, c.currency, c.currency_options,
       cast(c.applies_to as text) as applies_to, c.duration,
       (s.discounts = 'all' and c.id is not null) or (s.discounts = 'forever' and c.duration = 'forever') as counts
from ranked as r
cross join stripe_metrics.settings as s
left join stripe.coupons as c on c._account_id = r._account_id and c.id = r.coupon
where r.place = 1;
