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
    select l._account_id, l.id as line, l._parent_id as invoice, i.created as seen, i.status,
           coalesce(l.parent -> 'subscription_item_details' ->> 'subscription',
                    l.parent -> 'invoice_item_details' ->> 'subscription', l.subscription) as subscription,
           coalesce(l.parent -> 'subscription_item_details' ->> 'subscription_item', l.subscription_item) as item,
           coalesce(l.parent -> 'invoice_item_details' ->> 'invoice_item',
                    l.parent -> 'subscription_item_details' ->> 'invoice_item') as invoice_item,
           coalesce(l.pricing -> 'price_details' ->> 'price', l.price ->> 'id') as price, l.currency, l.quantity, l.amount,
           to_timestamp(cast(l.period ->> 'start' as bigint)) as starts,
           to_timestamp(cast(l.period ->> 'end' as bigint)) as ends,
           coalesce(cast(coalesce(l.parent -> 'subscription_item_details' ->> 'proration',
                                  l.parent -> 'invoice_item_details' ->> 'proration') as boolean),
                    l.proration, false) as proration,
           coalesce(cast(coalesce(l.parent -> 'subscription_item_details' -> 'proration_details',
                                  l.parent -> 'invoice_item_details' -> 'proration_details')
                         -> 'credited_items' as text), 'null') <> 'null' as is_credit,
           coalesce(o.off, 0) as off, coalesce(o.counted_off, 0) as counted_off, coalesce(x.tax, 0) as tax,
           coalesce(o.is_unknown, false) as off_unknown
    from source.invoice_line_items as l
    join source.invoices as i on i._account_id = l._account_id and i.id = l._parent_id
    left join taken_off as o on o._account_id = l._account_id and o._parent_id = l._parent_id and o.id = l.id
    left join taxed as x on x._account_id = l._account_id and x._parent_id = l._parent_id and x.id = l.id
    where i._deleted_at is null and l._deleted_at is null
)
select n._account_id, n.line, n.invoice, n.seen, n.status, n.subscription,
       coalesce(n.item, w.parent -> 'subscription_details' ->> 'subscription_item', w.subscription_item) as item, n.price,
       n.currency, n.quantity, n.amount, n.starts, n.ends, n.proration, n.is_credit or n.amount < 0 as is_credit,
       n.off, n.counted_off, n.tax, n.off_unknown
from named as n
left join source.invoiceitems as w on w._account_id = n._account_id and w.id = n.invoice_item
where n.subscription is not null
union all
select _account_id, id, null, date, 'waiting', coalesce(parent -> 'subscription_details' ->> 'subscription', subscription),
       coalesce(parent -> 'subscription_details' ->> 'subscription_item', subscription_item),
       coalesce(pricing -> 'price_details' ->> 'price', price ->> 'id'), currency, quantity, amount,
       to_timestamp(cast(period ->> 'start' as bigint)), to_timestamp(cast(period ->> 'end' as bigint)), true, amount < 0,
       0, 0, 0, false
from source.invoiceitems
where invoice is null and proration and _deleted_at is null
  and coalesce(parent -> 'subscription_details' ->> 'subscription', subscription) is not null;

-- What an invoice says of a whole period of an item. Tiers have several lines: their sum is the cost.
create table build.periods as
with summed as (
    select l._account_id, l.subscription, l.item, l.starts, l.invoice, l.price, l.currency, t.usage_type,
           max(l.ends) as ends, max(l.seen) as seen, cast(sum(l.quantity) as bigint) as quantity,
           cast(sum(l.amount) as bigint) as amount, cast(sum(l.off) as bigint) as off,
           cast(sum(l.counted_off) as bigint) as counted_off, cast(sum(l.tax) as bigint) as tax
    from build.lines as l
    left join build.terms as t on t._account_id = l._account_id and t.price = l.price
    where not l.proration and l.item is not null and l.starts is not null
    group by l._account_id, l.subscription, l.item, l.starts, l.invoice, l.price, l.currency, t.usage_type
), repeated as (
    select _account_id, item, starts from summed group by _account_id, item, starts having count(*) > 1
)
select s.* from summed as s
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
    select distinct _account_id, item, starts, price, quantity from build.lines
    where proration and amount = 0 and not is_credit and item is not null
), known as (
    select _account_id, item, starts, price, quantity from build.periods where usage_type = 'licensed'
    union
    select _account_id, item, starts, price, quantity from build.lines where proration and amount > 0 and item is not null
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
    from build.lines as l
    join build.terms as t on t._account_id = l._account_id and t.price = l.price and t.usage_type = 'licensed'
    left join build.zeros as z on z._account_id = l._account_id and z.item = l.item and z.starts = l.starts
         and z.price = l.price and z.quantity = l.quantity and l.amount = 0
    where l.proration and l.item is not null
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
