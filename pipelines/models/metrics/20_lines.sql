-- What invoice lines, and prorations that wait for their invoice, say about the items of subscriptions.

create table build.lines as
with taken_off as (
    select a._account_id, a._parent_id, a.id, cast(sum(cast(a.value ->> 'amount' as bigint)) as bigint) as off,
           cast(sum(case when d.counts then cast(a.value ->> 'amount' as bigint) else 0 end) as bigint) as counted_off,
           max(case when d.duration is null then 1 else 0 end) = 1 as is_unknown
    from (
        select _account_id, _parent_id, id, stripe_metrics.json_items(discount_amounts) as value
        from source.invoice_line_items where cast(discount_amounts as text) like '%{%'
    ) as a
    left join build.discounts as d on d._account_id = a._account_id and d.discount = a.value ->> 'discount'
    group by a._account_id, a._parent_id, a.id
), taxed as (
    select _account_id, _parent_id, id, cast(sum(cast(value ->> 'amount' as bigint)) as bigint) as tax
    from (
        select _account_id, _parent_id, id, stripe_metrics.json_items(taxes) as value
        from source.invoice_line_items where cast(taxes as text) like '%inclusive%'
    ) as each_tax
    where (value ->> 'tax_behavior') = 'inclusive'
    group by _account_id, _parent_id, id
), named as (
    select l._account_id, l.id as line, l._parent_id as invoice,
           coalesce(stripe_metrics.line_text(l.parent, 1), stripe_metrics.line_text(l.parent, 6), l.subscription) as subscription,
           coalesce(stripe_metrics.line_text(l.parent, 2), l.subscription_item) as item,
           coalesce(stripe_metrics.line_text(l.parent, 7), stripe_metrics.line_text(l.parent, 3)) as invoice_item,
           coalesce(stripe_metrics.line_price(l.pricing), l.price ->> 'id') as price, l.currency, l.quantity, l.amount,
           stripe_metrics.json_second(l.period, 'start') as starts, stripe_metrics.json_second(l.period, 'end') as ends,
           coalesce(cast(coalesce(stripe_metrics.line_text(l.parent, 4), stripe_metrics.line_text(l.parent, 8)) as boolean),
                    l.proration, false) as proration,
           coalesce(stripe_metrics.line_text(l.parent, 5), stripe_metrics.line_text(l.parent, 9)) is not null as is_credit,
           coalesce(o.off, 0) as off, coalesce(o.counted_off, 0) as counted_off, coalesce(x.tax, 0) as tax,
           coalesce(o.is_unknown, false) as off_unknown
    from source.invoice_line_items as l
    left join (select _account_id, id from source.invoices where _deleted_at is not null) as d
           on d._account_id = l._account_id and d.id = l._parent_id
    left join taken_off as o on o._account_id = l._account_id and o._parent_id = l._parent_id and o.id = l.id
    left join taxed as x on x._account_id = l._account_id and x._parent_id = l._parent_id and x.id = l.id
    where d.id is null and l._deleted_at is null
)
select n._account_id, n.line, n.invoice, n.subscription,
       coalesce(n.item, (w.parent -> 'subscription_details') ->> 'subscription_item', w.subscription_item) as item, n.price,
       n.currency, n.quantity, n.amount, n.starts, n.ends, n.proration, n.is_credit or n.amount < 0 as is_credit,
       n.off, n.counted_off, n.tax, n.off_unknown
from named as n
left join source.invoiceitems as w on w._account_id = n._account_id and w.id = n.invoice_item
where n.subscription is not null
union all
select _account_id, id, null, coalesce((parent -> 'subscription_details') ->> 'subscription', subscription),
       coalesce((parent -> 'subscription_details') ->> 'subscription_item', subscription_item),
       coalesce((pricing -> 'price_details') ->> 'price', price ->> 'id'), currency, quantity, amount,
       stripe_metrics.json_second(period, 'start'), stripe_metrics.json_second(period, 'end'), true, amount < 0,
       0, 0, 0, false
from source.invoiceitems
where invoice is null and proration and _deleted_at is null
  and coalesce((parent -> 'subscription_details') ->> 'subscription', subscription) is not null;

-- Items of which every line says the same, one period after the other: most are. One row stands for all of theirs.
create table build.settled as
with same as (
    select _account_id, item, min(subscription) as subscription, min(price) as price, min(currency) as currency,
           min(starts) as starts, max(ends) as ends, min(quantity) as quantity, min(amount) as amount, min(off) as off,
           min(counted_off) as counted_off, min(tax) as tax,
           min(extract(epoch from ends) - extract(epoch from starts)) as shortest
    from build.lines
    where item is not null
    group by _account_id, item
    having max(case when proration then 1 else 0 end) = 0 and min(subscription) = max(subscription) and min(price) = max(price)
       and min(currency) = max(currency) and min(quantity) = max(quantity) and min(amount) = max(amount)
       and min(off) = max(off) and min(counted_off) = max(counted_off) and min(tax) = max(tax)
       and sum(extract(epoch from ends) - extract(epoch from starts)) = extract(epoch from max(ends)) - extract(epoch from min(starts))
       and min(extract(epoch from ends) - extract(epoch from starts)) > 0
)
select s._account_id, s.subscription, s.item, s.starts, s.price, s.currency, t.usage_type, s.ends, s.quantity, s.amount,
       s.off, s.counted_off, s.tax
from same as s
join build.terms as t on t._account_id = s._account_id and t.price = s.price and t.usage_type = 'licensed'
     and s.shortest >= t.least_days * 84600
left join (select distinct _account_id, subscription from build.heard) as h
       on h._account_id = s._account_id and h.subscription = s.subscription
where h.subscription is null;

-- The lines of all other items.
create table build.telling as
select l.*, coalesce(i.created, w.date) as seen
from build.lines as l
left join build.settled as s on s._account_id = l._account_id and s.item = l.item
left join source.invoices as i on i._account_id = l._account_id and i.id = l.invoice
left join source.invoiceitems as w on l.invoice is null and w._account_id = l._account_id and w.id = l.line
where s.item is null and l.item is not null and l.starts is not null;

-- What an invoice says of a whole period of an item. Tiers have several lines: their sum is the cost.
create table build.periods as
with summed as (
    select l._account_id, l.subscription, l.item, l.starts, l.invoice, l.price, l.currency, t.usage_type,
           max(l.ends) as ends, max(l.seen) as seen, cast(sum(l.quantity) as bigint) as quantity,
           cast(sum(l.amount) as bigint) as amount, cast(sum(l.off) as bigint) as off,
           cast(sum(l.counted_off) as bigint) as counted_off, cast(sum(l.tax) as bigint) as tax
    from build.telling as l
    left join build.terms as t on t._account_id = l._account_id and t.price = l.price
    where not l.proration
    group by l._account_id, l.subscription, l.item, l.starts, l.invoice, l.price, l.currency, t.usage_type
), repeated as (
    select _account_id, item, starts from summed group by _account_id, item, starts having count(*) > 1
)
select _account_id, subscription, item, starts, null as invoice, price, currency, usage_type, ends,
       cast(null as timestamptz) as seen, quantity, amount, off, counted_off, tax
from build.settled
union all
select s._account_id, s.subscription, s.item, s.starts, s.invoice, s.price, s.currency, s.usage_type, s.ends, s.seen,
       s.quantity, s.amount, s.off, s.counted_off, s.tax
from summed as s
left join repeated as r on r._account_id = s._account_id and r.item = s.item and r.starts = s.starts
where r.item is null
union all
select _account_id, subscription, item, starts, invoice, price, currency, usage_type, ends, seen, quantity, amount, off,
       counted_off, tax
from (
    select s.*, row_number() over (partition by s._account_id, s.item, s.starts
                                   order by s.seen desc, s.amount desc, s.invoice, s.price) as place
    from summed as s
    join repeated as r on r._account_id = s._account_id and r.item = s.item and r.starts = s.starts
) as ranked
where place = 1;

-- Prorations of nothing that nobody marked: the one that repeats the state before is the credit.
create table build.zeros as
with zero as (
    select distinct _account_id, item, starts, price, quantity from build.telling
    where proration and amount = 0 and not is_credit
), known as (
    select _account_id, item, starts, price, quantity from build.periods where usage_type = 'licensed'
    union
    select _account_id, item, starts, price, quantity from build.telling where proration and amount > 0
), before as (
    select z._account_id, z.item, z.starts, k.price, k.quantity,
           row_number() over (partition by z._account_id, z.item, z.starts order by k.starts desc, k.price) as place
    from (select distinct _account_id, item, starts from zero) as z
    join known as k on k._account_id = z._account_id and k.item = z.item and k.starts < z.starts
)
select z.*, b.item is not null as is_credit
from zero as z
left join before as b on b._account_id = z._account_id and b.item = z.item and b.starts = z.starts and b.place = 1
     and b.price = z.price and b.quantity = z.quantity;

-- What prorations say of an item at a moment: what began, or (`is_end`) that it was given up.
create table build.turns as
with netted as (
    select l._account_id, l.subscription, l.item, l.starts, l.price, l.currency, l.quantity, max(l.ends) as ends,
           max(l.seen) as seen, sum(case when l.is_credit or z.is_credit then -1 else 1 end) as net
    from build.telling as l
    join build.terms as t on t._account_id = l._account_id and t.price = l.price and t.usage_type = 'licensed'
    left join build.zeros as z on z._account_id = l._account_id and z.item = l.item and z.starts = l.starts
         and z.price = l.price and z.quantity = l.quantity and l.amount = 0
    where l.proration
    group by l._account_id, l.subscription, l.item, l.starts, l.price, l.currency, l.quantity
), ranked as (
    select *, min(net) over (partition by _account_id, item, starts) as lowest,
           max(case when net < 0 then price end) over (partition by _account_id, item, starts) as credited_price,
           max(case when net < 0 then quantity end) over (partition by _account_id, item, starts) as credited_quantity,
           row_number() over (partition by _account_id, item, starts
                              order by net desc, seen desc, quantity desc, price) as place
    from netted
)
select r._account_id, r.subscription, r.item, r.starts, r.ends, r.price, r.currency, r.quantity, r.net <= 0 as is_end,
       r.credited_price, r.credited_quantity
from ranked as r
left join build.periods as p on p._account_id = r._account_id and p.item = r.item and p.starts = r.starts
where r.place = 1 and (r.net > 0 or (r.lowest < 0 and (p.item is null or p.price = r.price)));  -- a whole new period began
