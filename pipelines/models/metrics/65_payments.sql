-- Payments: invoices whose charge failed, what was collected, and what the balance says of it.

create table build.dunning as
with charged as (
    select p._account_id, p.invoice, min(case when c.status = 'failed' then c.created end) as first_failed_at, count(*) as attempts
    from source.billed as b
    join stripe.invoice_payments as p on p._account_id = b._account_id and p.invoice = b.id
    join stripe.charges as c on c._account_id = p._account_id and c.payment_intent = p.payment ->> 'payment_intent'
    where p._deleted_at is null
    group by p._account_id, p.invoice
    having min(case when c.status = 'failed' then c.created end) is not null
), settled as (
    select i._account_id, i.id as invoice, i.customer, i.currency, i.amount_due as amount, i.status,
           coalesce(c.first_failed_at, to_timestamp(cast(i.status_transitions ->> 'finalized_at' as bigint)), i.created) as first_failed_at,
           greatest(coalesce(c.attempts, 0), coalesce(i.attempt_count, 0)) as attempts,
           to_timestamp(cast(coalesce(i.status_transitions ->> 'paid_at', i.status_transitions ->> 'marked_uncollectible_at',
                                      i.status_transitions ->> 'voided_at') as bigint)) as settled_at
    from source.billed as i
    left join charged as c on c._account_id = i._account_id and c.invoice = i.id
    where i._deleted_at is null and i.amount_due > 0 and i.status <> 'draft'
      and (c.invoice is not null or i.attempt_count > 1
           or (i.attempted and i.status <> 'paid' and coalesce(i.amount_remaining, 0) > 0))
)
select s._account_id, s.invoice, s.customer, s.currency, s.amount, s.first_failed_at, cast(s.attempts as bigint) as attempts,
       case s.status when 'paid' then 'recovered' when 'open' then 'open' else 'lost' end as outcome,
       case when s.status <> 'open' then s.settled_at end as settled_at,
       cast(round(cast(s.amount * r.factor as decimal(38, 12))) as bigint) as amount_converted
from settled as s left join stripe_metrics._conversions as r on r.currency = s.currency;

create table build._revenue as
with moved as (
    select _account_id, currency, created, coalesce(amount_captured, amount) as collected, 0 as refunded, 0 as disputed
    from source.charges where status = 'succeeded' and coalesce(captured, true)
    union all
    select _account_id, currency, created, 0, amount, 0 from source.refunds
    where coalesce(status, 'succeeded') not in ('failed', 'canceled')
    union all
    select _account_id, currency, created, 0, 0, amount from source.disputes where status not like 'warning%'
)
select m._account_id, m.currency, cast(date_trunc('month', timezone(s.timezone, m.created)) as date) as month,
       cast(sum(m.collected) as bigint) as collected, cast(sum(m.refunded) as bigint) as refunded,
       cast(sum(m.disputed) as bigint) as disputed
from moved as m cross join stripe_metrics.settings as s
where m.created is not null
group by m._account_id, m.currency, cast(date_trunc('month', timezone(s.timezone, m.created)) as date);

create table build._balance as
with kinds as (
    select t._account_id, t.currency, cast(date_trunc('month', timezone(s.timezone, t.created)) as date) as month,
           t.amount, coalesce(t.fee, 0) as fee, t.net,
           case when coalesce(t.reporting_category, t.type) in ('charge', 'payment') then 'charge'
                when coalesce(t.reporting_category, t.type) in ('refund', 'refund_failure', 'payment_refund', 'partial_capture_reversal')
                then 'refund'
                when coalesce(t.reporting_category, t.type) in ('dispute', 'dispute_reversal') then 'dispute'
                when coalesce(t.reporting_category, t.type) in ('fee', 'network_cost', 'stripe_fee', 'stripe_fx_fee', 'tax_fee')
                then 'fee' else 'other' end as kind
    from source.balance_transactions as t cross join stripe_metrics.settings as s
    where coalesce(t.reporting_category, t.type) not like '%payout%'
      and coalesce(t.reporting_category, t.type) not like '%transfer%'
      and coalesce(t.reporting_category, t.type) not like '%reserve%'
      and coalesce(t.reporting_category, t.type) not in ('topup', 'topup_reversal') and t.created is not null
)
select _account_id, currency, month, cast(sum(case when kind = 'charge' then amount else 0 end) as bigint) as charges,
       cast(sum(case when kind = 'refund' then amount else 0 end) as bigint) as refunds,
       cast(sum(case when kind = 'dispute' then amount else 0 end) as bigint) as disputes,
       cast(sum(fee - case when kind = 'fee' then amount else 0 end) as bigint) as fees,
       cast(sum(case when kind = 'other' then amount else 0 end) as bigint) as other,
       cast(sum(coalesce(net, amount - fee)) as bigint) as net
from kinds
group by _account_id, currency, month;

create table build._names as
select _account_id, id, coalesce(nickname, id) as name from stripe.prices
union all
select _account_id, id, name from stripe.products where name is not null;

create table build._inactive_prices as
select _account_id, id as price from stripe.prices where not active;
