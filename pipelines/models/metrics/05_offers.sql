-- Prices and coupons that are not as the last build saw them: whoever may have used one is built again.

create table build._offers as
select _account_id, 'price' as kind, id,
       cast(coalesce(unit_amount_decimal, unit_amount) as text) || ' ' || coalesce(cast(recurring as text), '')
       || coalesce(cast(tiers as text), '') || coalesce(cast(transform_quantity as text), '') || coalesce(product, '')
       || coalesce(cast(currency_options as text), '') as content
from stripe.prices
union all
select _account_id, 'coupon', id,
       coalesce(cast(percent_off as text), '') || ' ' || coalesce(cast(amount_off as text), '') || coalesce(currency, '')
       || coalesce(duration, '') || coalesce(cast(currency_options as text), '') || coalesce(cast(applies_to as text), '')
from stripe.coupons;

create table build.changed_offers as
select o._account_id, o.kind, o.id
from build._offers as o
left join stripe_metrics._offers as b on b._account_id = o._account_id and b.kind = o.kind and b.id = o.id
where b.id is null or b.content is distinct from o.content;
