-- What does each plan bring in a month?
select price.nickname as plan, count(*) as subscriptions, sum(item.quantity) as seats,
       cast(sum(item.quantity * price.unit_amount
                / case price.recurring ->> 'interval' when 'year' then 1200.0 else 100.0 end) as decimal(12, 2)) as usd_a_month
from stripe.subscriptions as subscription
join stripe.subscription_items as item on item._parent_id = subscription.id
join stripe.prices as price on price.id = item.price ->> 'id'
where subscription.status = 'active'
group by price.nickname order by usd_a_month desc;

-- How do charges grow, and what is lost to declined cards and refunds?
select cast(date_trunc('quarter', created) as date) as quarter,
       count(*) filter (where paid) as paid, count(*) filter (where not paid) as declined,
       cast(sum(amount) filter (where paid) / 100.0 as decimal(12, 2)) as collected_usd,
       cast(sum(amount_refunded) / 100.0 as decimal(12, 2)) as refunded_usd
from stripe.charges
group by quarter order by quarter;

-- How many subscriptions begin and end?
select cast(date_trunc('quarter', day) as date) as quarter, sum(begun) as begun, sum(ended) as ended,
       sum(sum(begun) - sum(ended)) over (order by cast(date_trunc('quarter', day) as date)) as running
from (select created as day, 1 as begun, 0 as ended from stripe.subscriptions
      union all
      select ended_at, 0, 1 from stripe.subscriptions where ended_at is not null) as changes
group by 1 order by 1;

-- How fresh is it all?
select status, count(*) as resources, cast(max(window_end) as date) as reached
from stripe.sync_status
group by status order by status;
