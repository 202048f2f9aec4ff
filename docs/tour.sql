-- How much does each plan that is billed in dollars bring in per month? Without discounts, tax, usage and tiers.
select coalesce(item.price ->> 'nickname', item.price_id) as plan,
       count(distinct subscription.id) as subscriptions, sum(item.quantity) as seats,
       cast(sum(item.quantity * cast(item.price ->> 'unit_amount_decimal' as decimal(24, 12))
                * case item.interval when 'year' then 1 when 'month' then 12 when 'week' then 52 else 365 end
                / item.interval_count) / 1200 as decimal(12, 2)) as usd_a_month
from stripe_current.subscriptions as subscription
join stripe_current.subscription_items as item
  on item.subscription = subscription.id and item._account_id = subscription._account_id
where subscription.status = 'active' and subscription.currency = 'usd'
group by 1 order by usd_a_month desc nulls last, plan;

-- How do charges in dollars grow, and how much is lost to declined cards and refunds?
select cast(date_trunc('quarter', created at time zone 'UTC') as date) as quarter,
       count(*) filter (where status = 'succeeded') as paid, count(*) filter (where status = 'failed') as declined,
       cast(sum(amount_captured) filter (where status = 'succeeded') / 100.0 as decimal(12, 2)) as collected_usd,
       cast(sum(amount_refunded) filter (where captured) / 100.0 as decimal(12, 2)) as refunded_usd
from stripe_current.charges
where currency = 'usd'
group by quarter order by quarter;

-- How many subscriptions begin and end in each quarter?
select quarter, sum(begun) as begun, sum(ended) as ended, sum(sum(begun) - sum(ended)) over (order by quarter) as running
from (select cast(date_trunc('quarter', created at time zone 'UTC') as date) as quarter, 1 as begun, 0 as ended
      from stripe_current.subscriptions
      union all
      select cast(date_trunc('quarter', ended_at at time zone 'UTC') as date), 0, 1
      from stripe_current.subscriptions where ended_at is not null) as changes
group by quarter order by quarter;

-- How fresh is the data?
select status, count(*) as resources, cast(max(window_end) as date) as reached
from stripe.sync_status
group by status order by status;
