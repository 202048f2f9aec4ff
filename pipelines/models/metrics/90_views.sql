-- The answers that follow from the tables by adding up.

create or replace view stripe_metrics.mrr_monthly as
with sums as (
    select _account_id, currency, cast(date_trunc('month', day) as date) as month,
           sum(mrr) as change, sum(arr) as arr, sum(mrr_converted) as change_converted, sum(arr_converted) as arr_converted,
           sum(case when movement = 'new' then mrr else 0 end) as new,
           sum(case when movement = 'new' then mrr_converted else 0 end) as new_converted,
           sum(case when movement = 'expansion' then mrr else 0 end) as expansion,
           sum(case when movement = 'expansion' then mrr_converted else 0 end) as expansion_converted,
           sum(case when movement = 'contraction' then mrr else 0 end) as contraction,
           sum(case when movement = 'contraction' then mrr_converted else 0 end) as contraction_converted,
           sum(case when movement = 'churn' then mrr else 0 end) as churn,
           sum(case when movement = 'churn' then mrr_converted else 0 end) as churn_converted,
           sum(case when movement = 'reactivation' then mrr else 0 end) as reactivation,
           sum(case when movement = 'reactivation' then mrr_converted else 0 end) as reactivation_converted,
           count(distinct case when movement = 'new' then customer end) as new_customers,
           count(distinct case when movement = 'expansion' then customer end) as expansion_customers,
           count(distinct case when movement = 'contraction' then customer end) as contraction_customers,
           count(distinct case when movement = 'churn' then customer end) as churn_customers,
           count(distinct case when movement = 'reactivation' then customer end) as reactivation_customers,
           sum(case when mrr_after <> 0 then 1 else 0 end - case when mrr_before <> 0 then 1 else 0 end) as customers
    from stripe_metrics.movements
    group by _account_id, currency, cast(date_trunc('month', day) as date)
), spine as (
    select k._account_id, k.currency, m.month
    from (select distinct _account_id, currency from stripe_metrics.movements) as k
    join stripe_metrics._months as m on m._account_id = k._account_id
), filled as (
    select p._account_id, p.currency, p.month,
           sum(coalesce(s.change, 0)) over w - coalesce(s.change, 0) as opening, coalesce(s.new, 0) as new,
           coalesce(s.expansion, 0) as expansion, coalesce(s.contraction, 0) as contraction, coalesce(s.churn, 0) as churn,
           coalesce(s.reactivation, 0) as reactivation, sum(coalesce(s.change, 0)) over w as closing,
           sum(coalesce(s.arr, 0)) over w as arr, sum(coalesce(s.change_converted, 0)) over w as closing_converted,
           sum(coalesce(s.change_converted, 0)) over w - coalesce(s.change_converted, 0) as opening_converted,
           sum(coalesce(s.arr_converted, 0)) over w as arr_converted,
           coalesce(s.new_converted, 0) as new_converted,
           coalesce(s.expansion_converted, 0) as expansion_converted,
           coalesce(s.contraction_converted, 0) as contraction_converted,
           coalesce(s.churn_converted, 0) as churn_converted,
           coalesce(s.reactivation_converted, 0) as reactivation_converted,
           sum(coalesce(s.customers, 0)) over w - coalesce(s.customers, 0) as opening_customers,
           coalesce(s.new_customers, 0) as new_customers, coalesce(s.expansion_customers, 0) as expansion_customers,
           coalesce(s.contraction_customers, 0) as contraction_customers, coalesce(s.churn_customers, 0) as churn_customers,
           coalesce(s.reactivation_customers, 0) as reactivation_customers,
           sum(coalesce(s.customers, 0)) over w as closing_customers
    from spine as p
    left join sums as s on s._account_id = p._account_id and s.currency = p.currency and s.month = p.month
    window w as (partition by p._account_id, p.currency order by p.month)
)
select f._account_id, f.currency, f.month, cast(f.opening as bigint) as opening, cast(f.new as bigint) as new,
       cast(f.expansion as bigint) as expansion, cast(f.contraction as bigint) as contraction,
       cast(f.churn as bigint) as churn, cast(f.reactivation as bigint) as reactivation,
       cast(f.closing as bigint) as closing, cast(f.arr as bigint) as arr,
       cast(f.opening_customers as bigint) as opening_customers, f.new_customers, f.expansion_customers,
       f.contraction_customers, f.churn_customers, f.reactivation_customers,
       cast(f.closing_customers as bigint) as closing_customers,
       case when r.currency is not null then cast(f.opening_converted as bigint) end as opening_converted,
       case when r.currency is not null then cast(f.new_converted as bigint) end as new_converted,
       case when r.currency is not null then cast(f.expansion_converted as bigint) end as expansion_converted,
       case when r.currency is not null then cast(f.contraction_converted as bigint) end as contraction_converted,
       case when r.currency is not null then cast(f.churn_converted as bigint) end as churn_converted,
       case when r.currency is not null then cast(f.reactivation_converted as bigint) end as reactivation_converted,
       case when r.currency is not null then cast(f.closing_converted as bigint) end as closing_converted,
       case when r.currency is not null then cast(f.arr_converted as bigint) end as arr_converted
from filled as f
left join stripe_metrics._conversions as r on r.currency = f.currency;

create or replace view stripe_metrics.mrr_by_price_monthly as
with spans as (
    select i._account_id, i.product, i.price, i.currency, i.customer, i.mrr, i.mrr_converted, i.quantity,
           cast(date_trunc('month', timezone(s.timezone, i.starts)) as date) as first,
           cast(date_trunc('month', timezone(s.timezone, i.ends)) as date) as until
    from stripe_metrics.item_spans as i cross join stripe_metrics.settings as s
    where i.mrr <> 0
)
select s._account_id, s.product, s.price, s.currency, m.month, cast(sum(s.mrr) as bigint) as mrr,
       count(distinct s.customer) as customers, cast(sum(s.quantity) as bigint) as quantity,
       cast(sum(s.mrr_converted) as bigint) as mrr_converted
from spans as s
join stripe_metrics._months as m on m._account_id = s._account_id and m.month >= s.first and (s.until is null or m.month < s.until)
group by s._account_id, s.product, s.price, s.currency, m.month;

create or replace view stripe_metrics.rates_monthly as
with retained as (
    select m._account_id, c.currency, m.month, sum(c.mrr) as mrr_then, sum(coalesce(n.mrr, 0)) as mrr_now,
           sum(least(c.mrr, coalesce(n.mrr, 0))) as mrr_kept, count(*) as customers_then,
           sum(case when n.mrr > 0 then 1 else 0 end) as customers_now
    from stripe_metrics._months as m
    join stripe_metrics._customer_months as c on c._account_id = m._account_id and c.mrr > 0
         and c.month <= m.month - interval '12 months' and (c.until is null or c.until > m.month - interval '12 months')
    left join stripe_metrics._customer_months as n on n._account_id = c._account_id and n.customer = c.customer
         and n.currency = c.currency and n.month <= m.month and (n.until is null or n.until > m.month)
    group by m._account_id, c.currency, m.month
), rates as (
    select *, cast(churn_customers as decimal(38, 10)) / nullif(opening_customers, 0) as customer_churn,
           cast(-(churn + contraction) as decimal(38, 10)) / nullif(opening, 0) as gross_mrr_churn,
           cast(-(churn + contraction + expansion + reactivation) as decimal(38, 10)) / nullif(opening, 0) as net_mrr_churn,
           cast(new + expansion + reactivation as decimal(38, 10)) / nullif(-(churn + contraction), 0) as quick_ratio,
           cast(closing as decimal(38, 10)) / nullif(closing_customers, 0) as arpa
    from stripe_metrics.mrr_monthly
), averaged as (
    select *, avg(nullif(customer_churn, 0)) over (partition by _account_id, currency order by month
                                                   rows between 5 preceding and current row) as mean_churn
    from rates
)
select a._account_id, a.currency, a.month, cast(a.customer_churn as decimal(20, 10)) as customer_churn,
       cast(a.gross_mrr_churn as decimal(20, 10)) as gross_mrr_churn, cast(a.net_mrr_churn as decimal(20, 10)) as net_mrr_churn,
       cast(a.quick_ratio as decimal(20, 10)) as quick_ratio, cast(a.arpa as decimal(20, 10)) as arpa,
       cast(a.arpa * s.margin / a.mean_churn as decimal(20, 10)) as ltv,
       cast(cast(r.mrr_now as decimal(38, 10)) / r.mrr_then as decimal(20, 10)) as nrr,
       cast(cast(r.mrr_kept as decimal(38, 10)) / r.mrr_then as decimal(20, 10)) as grr,
       cast(cast(r.customers_now as decimal(38, 10)) / r.customers_then as decimal(20, 10)) as logo_retention,
       cast(a.arpa * f.factor as decimal(20, 10)) as arpa_converted,
       cast(a.arpa * s.margin / a.mean_churn * f.factor as decimal(20, 10)) as ltv_converted
from averaged as a
left join stripe_metrics._conversions as f on f.currency = a.currency
cross join stripe_metrics.settings as s
left join retained as r on r._account_id = a._account_id and r.currency = a.currency and r.month = a.month;

create or replace view stripe_metrics.cohorts as
with groups as (
    select _account_id, cohort, currency from stripe_metrics._customer_months
    where cohort is not null group by _account_id, cohort, currency
)
select g._account_id, g.cohort, g.currency,
       cast((extract(year from m.month) - extract(year from g.cohort)) * 12
            + extract(month from m.month) - extract(month from g.cohort) as bigint) as months,
       count(c.customer) as customers, cast(coalesce(sum(c.mrr), 0) as bigint) as mrr,
       cast(case when max(r.factor) is not null then coalesce(sum(c.mrr_converted), 0) end as bigint) as mrr_converted
from groups as g
left join stripe_metrics._conversions as r on r.currency = g.currency
join stripe_metrics._months as m on m._account_id = g._account_id and m.month >= g.cohort
left join stripe_metrics._customer_months as c on c._account_id = g._account_id and c.cohort = g.cohort
     and c.currency = g.currency and c.mrr > 0 and c.month <= m.month and (c.until is null or c.until > m.month)
group by g._account_id, g.cohort, g.currency, m.month;

create or replace view stripe_metrics.customers_now as
with latest as (
    select m.*, row_number() over (partition by _account_id, customer, currency order by month desc) as place
    from stripe_metrics._customer_months as m
), began as (
    select _account_id, customer, max(day) as day from stripe_metrics.movements
    where movement in ('new', 'reactivation') group by _account_id, customer
), stands as (
    select _account_id, customer, currency, max(case when status = 'past_due' then 1 else 0 end) as past_due
    from stripe_metrics._subscriptions where mrr <> 0 group by _account_id, customer, currency
)
select l._account_id, l.customer, l.currency, l.mrr, l.arr, b.day as since,
       case when s.past_due = 1 then 'past_due' else 'active' end as status,
       l.mrr_converted, l.arr_converted
from latest as l
left join began as b on b._account_id = l._account_id and b.customer = l.customer
left join stands as s on s._account_id = l._account_id and s.customer = l.customer and s.currency = l.currency
where l.place = 1 and l.mrr <> 0;

create or replace view stripe_metrics.trials_monthly as
with recursive bounds as (
    select t._account_id, cast(date_trunc('month', min(timezone(s.timezone, t.started_at))) as date) as month,
           cast(date_trunc('month', max(timezone(s.timezone, b.as_of))) as date) as last
    from stripe_metrics.trials as t
    join stripe_metrics._builds as b on b._account_id = t._account_id
    cross join stripe_metrics.settings as s
    group by t._account_id
), months as (
    select _account_id, month, last from bounds
    union all
    select _account_id, cast(month + interval '1 month' as date), last from months where month + interval '1 month' <= last
), dated as (
    select t._account_id, t.converted, cast(date_trunc('month', timezone(s.timezone, t.started_at)) as date) as started,
           cast(date_trunc('month', timezone(s.timezone, t.ended_at)) as date) as ended
    from stripe_metrics.trials as t cross join stripe_metrics.settings as s
), counted as (
    select m._account_id, m.month,
           cast(sum(case when d.started = m.month then 1 else 0 end) as bigint) as started,
           cast(sum(case when d.ended = m.month then 1 else 0 end) as bigint) as ended,
           cast(sum(case when d.ended = m.month and d.converted then 1 else 0 end) as bigint) as converted
    from months as m
    left join dated as d on d._account_id = m._account_id and (d.started = m.month or d.ended = m.month)
    group by m._account_id, m.month
)
select *, cast(cast(converted as decimal(38, 10)) / nullif(ended, 0) as decimal(20, 10)) as conversion_rate from counted;

create or replace view stripe_metrics.dunning_monthly as
with dated as (
    select d.*, cast(date_trunc('month', timezone(s.timezone, d.first_failed_at)) as date) as month
    from stripe_metrics.dunning as d cross join stripe_metrics.settings as s
), summed as (
    select _account_id, month, currency, count(*) as failed_invoices, cast(sum(amount) as bigint) as failed,
           cast(sum(case when outcome = 'recovered' then 1 else 0 end) as bigint) as recovered_invoices,
           cast(sum(case when outcome = 'recovered' then amount else 0 end) as bigint) as recovered,
           cast(sum(case when outcome = 'lost' then 1 else 0 end) as bigint) as lost_invoices,
           cast(sum(case when outcome = 'lost' then amount else 0 end) as bigint) as lost,
           cast(sum(case when outcome = 'open' then 1 else 0 end) as bigint) as open_invoices,
           cast(sum(case when outcome = 'open' then amount else 0 end) as bigint) as open,
           cast(sum(amount_converted) as bigint) as failed_converted,
           cast(sum(case when outcome = 'recovered' then amount_converted when amount_converted is not null then 0 end) as bigint)
               as recovered_converted,
           cast(sum(case when outcome = 'lost' then amount_converted when amount_converted is not null then 0 end) as bigint)
               as lost_converted,
           cast(sum(case when outcome = 'open' then amount_converted when amount_converted is not null then 0 end) as bigint)
               as open_converted
    from dated group by _account_id, month, currency
)
select *, cast(cast(recovered as decimal(38, 10)) / nullif(recovered + lost, 0) as decimal(20, 10)) as recovery_rate from summed;

create or replace view stripe_metrics.revenue_monthly as
select v._account_id, v.currency, v.month, v.collected, v.refunded, v.disputed,
       cast(round(cast(v.collected * r.factor as decimal(38, 12))) as bigint) as collected_converted,
       cast(round(cast(v.refunded * r.factor as decimal(38, 12))) as bigint) as refunded_converted,
       cast(round(cast(v.disputed * r.factor as decimal(38, 12))) as bigint) as disputed_converted
from stripe_metrics._revenue as v left join stripe_metrics._conversions as r on r.currency = v.currency;

create or replace view stripe_metrics.balance_monthly as
select b._account_id, b.currency, b.month, b.charges, b.refunds, b.disputes, b.fees, b.other, b.net,
       cast(round(cast(b.charges * r.factor as decimal(38, 12))) as bigint) as charges_converted,
       cast(round(cast(b.refunds * r.factor as decimal(38, 12))) as bigint) as refunds_converted,
       cast(round(cast(b.disputes * r.factor as decimal(38, 12))) as bigint) as disputes_converted,
       cast(round(cast(b.fees * r.factor as decimal(38, 12))) as bigint) as fees_converted,
       cast(round(cast(b.other * r.factor as decimal(38, 12))) as bigint) as other_converted,
       cast(round(cast(b.net * r.factor as decimal(38, 12))) as bigint) as net_converted
from stripe_metrics._balance as b left join stripe_metrics._conversions as r on r.currency = b.currency;

create or replace view stripe_metrics.scheduled_changes as
with coming as (
    select _account_id, date, customer, case when not is_planned then subscription end as subscription, currency, mrr, reason
    from stripe_metrics._scheduled
    union all
    select s._account_id, s.card_expires, s.customer, s.subscription, s.currency, 0, 'card expires'
    from stripe_metrics._subscriptions as s
    join stripe_metrics._builds as b on b._account_id = s._account_id
    cross join stripe_metrics.settings as o
    where s.mrr > 0 and s.ends_at is null and s.card_expires <= cast(s.period_ends as date)
      and s.card_expires >= cast(timezone(o.timezone, b.as_of) as date)
)
select c._account_id, c.date, c.customer, c.subscription, c.currency, cast(c.mrr as bigint) as mrr, c.reason,
       cast(round(cast(c.mrr * r.factor as decimal(38, 12))) as bigint) as mrr_converted
from coming as c left join stripe_metrics._conversions as r on r.currency = c.currency;

create or replace view stripe_metrics.quality as
with advice as (
    select 'seen, not told' as kind, 'These changes left no proration and no event: they are dated when they were seen, or at the end of what was paid. Receive webhooks, or load events, and the next ones are exact.' as advice
    union all select 'price not loaded', 'Load prices: items and lines of these subscriptions have a price that is not in the tables.'
    union all select 'cost not known', 'Load prices with their tiers: what these items cost cannot be said, and they count as nothing.'
    union all select 'discount not loaded', 'Load coupons, and subscriptions and invoices again, which bring their discounts: it is not known whether these discounts are forever, and they do not lower MRR.'
    union all select 'pause not told', 'These subscriptions are paused or unpaid, and no event tells since when.'
    union all select 'ends before it starts', 'These subscriptions end before they start, and never count.'
)
select g._account_id, g.kind, g.currency, count(distinct g.subscription) as rows, cast(sum(g.mrr) as bigint) as mrr,
       max(a.advice) as advice, cast(round(cast(sum(g.mrr) * max(r.factor) as decimal(38, 12))) as bigint) as mrr_converted
from stripe_metrics._gaps as g
left join advice as a on a.kind = g.kind
left join stripe_metrics._conversions as r on r.currency = g.currency
group by g._account_id, g.kind, g.currency
union all
select b._account_id, 'table not loaded: ' || u.table_name, null, 0, null, 'Load this table: it counts as empty, and what is told from it is missing.',
       null
from stripe_metrics._builds as b cross join stripe_metrics._unloaded as u;
