-- What needs attention: each rule with its threshold in `settings`, and the query that shows its rows.

create or replace view stripe_metrics.insights as
with today as (
    select b._account_id, cast(timezone(s.timezone, b.as_of) as date) as day, b.as_of,
           cast(date_trunc('month', timezone(s.timezone, b.as_of)) as date) as month, s.soon_days, s.trial_days,
           s.churn_days, s.largest_share, s.falling_share, s.least_share
    from stripe_metrics._builds as b cross join stripe_metrics.settings as s
), past_due as (
    select s._account_id, s.currency, sum(s.mrr) as amount, count(distinct s.customer) as customers
    from stripe_metrics._subscriptions as s where s.status in ('past_due', 'unpaid') group by s._account_id, s.currency
), recoverable as (
    select d._account_id, d.currency, sum(d.amount) as amount, count(distinct d.customer) as customers
    from stripe_metrics.dunning as d where d.outcome = 'open' group by d._account_id, d.currency
), cards as (
    select s._account_id, s.currency, sum(s.mrr) as amount, count(distinct s.customer) as customers
    from stripe_metrics._subscriptions as s
    where s.mrr > 0 and s.ends_at is null and s.card_expires <= cast(s.period_ends as date)
    group by s._account_id, s.currency
), trying as (
    select s._account_id, s.currency, count(distinct s.customer) as customers
    from stripe_metrics._subscriptions as s join today as t on t._account_id = s._account_id
    where s.trial_ends < t.as_of + t.trial_days * interval '1 day' and s.pays_by is null and s.status = 'trialing'
    group by s._account_id, s.currency
), leaving as (
    select c._account_id, c.currency, -sum(c.mrr) as amount, count(distinct c.customer) as customers
    from stripe_metrics.scheduled_changes as c where c.mrr < 0 group by c._account_id, c.currency
), largest as (
    select c._account_id, c.currency, max(c.mrr) as amount, sum(c.mrr) as total, count(*) as customers
    from stripe_metrics.customers_now as c group by c._account_id, c.currency
), reasons as (
    select s._account_id, s.currency, coalesce(s.feedback, s.reason, 'not told') as reason, -sum(e.mrr) as amount,
           count(distinct s.customer) as customers,
           row_number() over (partition by s._account_id, s.currency
                              order by -sum(e.mrr) desc, coalesce(s.feedback, s.reason, 'not told')) as place
    from stripe_metrics.subscription_events as e
    join stripe_metrics._subscriptions as s on s._account_id = e._account_id and s.subscription = e.subscription
    join today as t on t._account_id = e._account_id
    where e.kind = 'canceled' and e.mrr < 0 and e.moment > t.as_of - t.churn_days * interval '1 day'
    group by s._account_id, s.currency, coalesce(s.feedback, s.reason, 'not told')
), plans as (
    select p._account_id, p.currency, p.price, sum(case when p.month = t.month then p.mrr else -p.mrr end) as change,
           row_number() over (partition by p._account_id, p.currency
                              order by sum(case when p.month = t.month then p.mrr else -p.mrr end), p.price) as place
    from stripe_metrics.mrr_by_price_monthly as p join today as t on t._account_id = p._account_id
    where p.month = t.month or p.month = t.month - interval '3 months'
    group by p._account_id, p.currency, p.price
), inactive as (
    select i._account_id, i.currency, sum(i.mrr) as amount, count(distinct i.customer) as customers
    from stripe_metrics.item_spans as i
    join stripe_metrics._inactive_prices as p on p._account_id = i._account_id and p.price = i.price
    where i.ends is null and i.mrr > 0 group by i._account_id, i.currency
), given as (
    select i._account_id, i.currency, sum(i.list_mrr - i.mrr) as amount, count(distinct i.customer) as customers
    from stripe_metrics.item_spans as i where i.ends is null and i.list_mrr > i.mrr group by i._account_id, i.currency
), kept as (
    select c._account_id, c.currency,
           case when c.cohort >= t.month - interval '6 months' then 'late' else 'early' end as side,
           cast(sum(case when c.months = 3 then c.customers end) as decimal(38, 10))
               / nullif(sum(case when c.months = 0 then c.customers end), 0) as share
    from stripe_metrics.cohorts as c join today as t on t._account_id = c._account_id
    where c.months in (0, 3) and c.cohort <= t.month - interval '3 months' and c.cohort > t.month - interval '18 months'
    group by c._account_id, c.currency, case when c.cohort >= t.month - interval '6 months' then 'late' else 'early' end
), compared as (
    select l._account_id, l.currency, l.share as late, e.share as early
    from kept as l join kept as e on e._account_id = l._account_id and e.currency = l.currency and e.side = 'early'
    where l.side = 'late'
), recovery as (
    select d._account_id, d.currency,
           cast(sum(case when d.month >= t.month - interval '3 months' then d.recovered end) as decimal(38, 10))
               / nullif(sum(case when d.month >= t.month - interval '3 months' then d.recovered + d.lost end), 0) as late,
           cast(sum(case when d.month < t.month - interval '3 months' then d.recovered end) as decimal(38, 10))
               / nullif(sum(case when d.month < t.month - interval '3 months' then d.recovered + d.lost end), 0) as early
    from stripe_metrics.dunning_monthly as d join today as t on t._account_id = d._account_id
    where d.month < t.month and d.month >= t.month - interval '12 months'
    group by d._account_id, d.currency
), renewals as (
    select s._account_id, s.currency, sum(s.arr) as amount, count(distinct s.customer) as customers
    from stripe_metrics._subscriptions as s join today as t on t._account_id = s._account_id
    where s.longest = 'year' and s.mrr > 0 and s.ends_at is null
      and s.period_ends < t.as_of + t.soon_days * interval '1 day'
    group by s._account_id, s.currency
), found as (
    select _account_id, 'past_due' as kind, 'high' as severity, 'MRR is past due' as title,
           'These customers pay late, and count as long as they are not canceled.' as detail,
           'Ask them for another payment method before Stripe gives up.' as recommendation,
           currency, cast(amount as bigint) as amount, customers,
           'select * from stripe_metrics._subscriptions where status in (''past_due'', ''unpaid'')' as query
    from past_due
    union all
    select _account_id, 'recoverable', 'high', 'Failed invoices are open', 'Their payment failed at least once and may still succeed.',
           'Check that retries and reminders are switched on.', currency, cast(amount as bigint), customers,
           'select * from stripe_metrics.dunning where outcome = ''open'''
    from recoverable
    union all
    select _account_id, 'card_expires', 'high', 'Cards expire before the next invoice', 'The next payment of these subscriptions will fail.',
           'Ask these customers for their new card.', currency, cast(amount as bigint), customers,
           'select * from stripe_metrics._subscriptions where mrr > 0 and ends_at is null and card_expires <= cast(period_ends as date)'
    from cards
    union all
    select _account_id, 'trial_without_method', 'medium', 'Trials end soon without a payment method',
           'They end within the days of settings.trial_days, and cannot convert as they are.', 'Remind these customers to enter a card.', currency, null, customers,
           'select * from stripe_metrics._subscriptions where status = ''trialing'' and pays_by is null'
    from trying
    union all
    select _account_id, 'leaving', 'high', 'MRR will leave on known dates', 'Cancellations and schedules that are set already.',
           'Talk to these customers before the date.', currency, cast(amount as bigint), customers,
           'select * from stripe_metrics.scheduled_changes where mrr < 0 order by date'
    from leaving
    union all
    select l._account_id, 'largest_customer', 'medium', 'One customer is a large part of MRR',
           cast(cast(round(100.0 * l.amount / l.total) as bigint) as text) || ' % of MRR comes from the largest customer.',
           'Plan for what happens when this customer leaves.', l.currency, cast(l.amount as bigint), 1,
           'select * from stripe_metrics.customers_now order by mrr desc'
    from largest as l join today as t on t._account_id = l._account_id
    where l.customers > 1 and l.total > 0 and l.amount > t.largest_share * l.total
    union all
    select r._account_id, 'churn_reason', 'medium', 'The most frequent reason to leave', 'In the last ' || cast(t.churn_days as text) || ' days, by MRR: ' || reason || '.',
           'Read what these customers wrote, and fix the most frequent cause.', currency, cast(amount as bigint), customers,
           'select * from stripe_metrics.subscription_events where kind = ''canceled'' order by moment desc'
    from reasons as r join today as t on t._account_id = r._account_id where place = 1
    union all
    select p._account_id, 'plan_losing', 'medium', 'A price loses MRR', coalesce(max(n.name), p.price) || ' has less MRR than three months ago.',
           'Compare what its customers changed to.', p.currency, cast(-p.change as bigint), null,
           'select * from stripe_metrics.mrr_by_price_monthly where price = ''' || p.price || ''' order by month'
    from plans as p left join stripe_metrics._names as n on n._account_id = p._account_id and n.id = p.price
    where p.place = 1 and p.change < 0
    group by p._account_id, p.currency, p.price, p.change
    union all
    select _account_id, 'inactive_price', 'low', 'MRR is on prices that are no longer sold', 'These customers still pay an old price.',
           'Decide whether to move them.', currency, cast(amount as bigint), customers,
           'select i.* from stripe_metrics.item_spans as i join stripe_metrics._inactive_prices as p on p.price = i.price where i.ends is null'
    from inactive
    union all
    select _account_id, 'given_away', 'low', 'Discounts lower MRR', 'What list prices would bring more each month.',
           'Check which of these coupons should end.', currency, cast(amount as bigint), customers,
           'select * from stripe_metrics.item_spans where ends is null and list_mrr > mrr order by list_mrr - mrr desc'
    from given
    union all
    select c._account_id, 'cohorts_weaker', 'medium', 'Recent cohorts keep fewer customers',
           'After three months: ' || cast(cast(round(100 * late) as bigint) as text) || ' %, before: ' || cast(cast(round(100 * early) as bigint) as text) || ' %.',
           'Look at what has changed for new customers.', currency, null, null,
           'select * from stripe_metrics.cohorts where months in (0, 3) order by cohort'
    from compared as c join today as t on t._account_id = c._account_id where late < early - t.falling_share
    union all
    select r._account_id, 'recovery_falling', 'medium', 'Fewer failed payments are recovered',
           'In the last three months: ' || cast(cast(round(100 * late) as bigint) as text) || ' %, before: ' || cast(cast(round(100 * early) as bigint) as text) || ' %.',
           'Check retries, reminders and card updates.', currency, null, null,
           'select * from stripe_metrics.dunning_monthly order by month'
    from recovery as r join today as t on t._account_id = r._account_id where late < early - t.falling_share
    union all
    select _account_id, 'renewals', 'low', 'Yearly subscriptions renew soon', 'Their yearly amount is due within the days of settings.soon_days.',
           'Tell these customers before they are charged.', currency, cast(amount as bigint), customers,
           'select * from stripe_metrics._subscriptions where longest = ''year'' and mrr > 0 order by period_ends'
    from renewals
)
select f.*, cast(round(cast(f.amount * r.factor as decimal(38, 12))) as bigint) as amount_converted
from found as f
join today as t on t._account_id = f._account_id
left join largest as l on l._account_id = f._account_id and l.currency = f.currency
left join stripe_metrics._conversions as r on r.currency = f.currency
where f.amount is null or f.amount >= t.least_share * coalesce(l.total, 0);
