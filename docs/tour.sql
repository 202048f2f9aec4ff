-- How much does each plan that is billed in dollars bring in per month? Without discounts, tax, usage and tiers.
select coalesce(item.price ->> 'nickname', item.price ->> 'id') as plan,
       count(distinct subscription.id) as subscriptions, sum(item.quantity) as seats,
       cast(sum(item.quantity * cast(item.price ->> 'unit_amount_decimal' as decimal(24, 12))
                * case item.price -> 'recurring' ->> 'interval'
                      when 'year' then 1 when 'month' then 12 when 'week' then 52 else 365 end
                / cast(item.price -> 'recurring' ->> 'interval_count' as integer)) / 1200 as decimal(12, 2)) as usd_a_month
from stripe.subscriptions as subscription
join stripe.subscription_items as item
  on item._parent_id = subscription.id and item._account_id = subscription._account_id
where subscription.status = 'active' and subscription.currency = 'usd'
  and subscription._deleted_at is null and item._deleted_at is null
group by 1 order by usd_a_month desc nulls last, plan;

-- How do charges in dollars grow, and how much is lost to declined cards and refunds?
select cast(date_trunc('quarter', created at time zone 'UTC') as date) as quarter,
       count(*) filter (where status = 'succeeded') as paid, count(*) filter (where status = 'failed') as declined,
       cast(sum(amount_captured) filter (where status = 'succeeded') / 100.0 as decimal(12, 2)) as collected_usd,
       cast(sum(amount_refunded) filter (where captured) / 100.0 as decimal(12, 2)) as refunded_usd
from stripe.charges
where currency = 'usd' and _deleted_at is null
group by quarter order by quarter;

-- How many subscriptions begin and end in each quarter?
select quarter, sum(begun) as begun, sum(ended) as ended, sum(sum(begun) - sum(ended)) over (order by quarter) as running
from (select cast(date_trunc('quarter', created at time zone 'UTC') as date) as quarter, 1 as begun, 0 as ended
      from stripe.subscriptions where _deleted_at is null
      union all
      select cast(date_trunc('quarter', ended_at at time zone 'UTC') as date), 0, 1
      from stripe.subscriptions where ended_at is not null and _deleted_at is null) as changes
group by quarter order by quarter;

-- How fresh is the data?
select status, count(*) as resources, cast(max(window_end) as date) as reached
from stripe.sync_status
group by status order by status;
