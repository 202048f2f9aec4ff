-- What is still open, by currency and customer?
select invoice.currency, customer.name, count(*) as invoices, cast(sum(invoice.amount_due) as decimal(12, 2)) as due
from orb_current.invoices as invoice
join orb_current.customers as customer
  on customer.id = invoice.customer_id and customer._account_id = invoice._account_id
where invoice.status = 'issued'
group by 1, 2 order by due desc, 2 limit 5;

-- What are the active subscriptions to each plan made of?
select plan.name, price.name as price, count(distinct subscription.id) as subscriptions
from orb_current.subscriptions as subscription
join orb_current.plans as plan on plan.id = subscription.plan_id and plan._account_id = subscription._account_id
join orb_current.subscription_price_intervals as interval
  on interval.subscription_id = subscription.id and interval._account_id = subscription._account_id
join orb_current.prices as price on price.id = interval.price_id and price._account_id = subscription._account_id
where subscription.status = 'active'
group by 1, 2 order by 1, 2;

-- How much was invoiced in each quarter, and how much of it is paid?
select cast(date_trunc('quarter', invoice_date at time zone 'UTC') as date) as quarter, count(*) as invoices,
       cast(sum(total) as decimal(12, 2)) as invoiced,
       cast(sum(total) filter (where status = 'paid') as decimal(12, 2)) as paid
from orb_current.invoices
where status in ('issued', 'paid', 'synced') and currency = 'USD'
group by 1 order by 1;
