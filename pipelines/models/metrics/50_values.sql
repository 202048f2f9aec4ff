-- What spans are worth: cost, discounts, tax, and from them MRR and ARR in whole smallest units.

-- Discounts that are known by themselves: what they take off a subscription or an item, and when.
create table build.reductions as
with own as (
    select d._account_id, d.discount, s.id as subscription, d.subscription_item as item, d.percent_off, d.amount_off,
           d.currency, d.currency_options, d.applies_to, d.starts, d.ends, s.currency as paid_in
    from build.discounts as d
    join source.subscriptions as s on s._account_id = d._account_id and s.id = d.subscription
    left join source.subscription_items as i on i._account_id = d._account_id and i.id = d.subscription_item
    where d.counts and (d.ends is not null or s.ended_at is not null
                        or cast(s.discounts as text) like '%"' || d.discount || '"%'
                        or cast(i.discounts as text) like '%"' || d.discount || '"%')
), of_customer as (  -- the customer's own coupon, where the subscription has none
    select d._account_id, d.discount, s.id, cast(null as text), d.percent_off, d.amount_off, d.currency, d.currency_options,
           d.applies_to, d.starts, d.ends, s.currency
    from build.discounts as d
    join source.subscriptions as s on s._account_id = d._account_id and s.customer = d.customer
    where d.counts and d.subscription is null and d.subscription_item is null
      and coalesce(cast(s.discounts as text), '[]') = '[]'
      and not exists (select 1 from build.discounts as o where o._account_id = s._account_id and o.subscription = s.id)
)
select _account_id, discount, subscription, item, percent_off,
       case when percent_off is null
            then case when currency = paid_in then amount_off
                      else cast(currency_options -> paid_in ->> 'amount_off' as bigint) end end as amount_off,
       applies_to, coalesce(starts, cast('1970-01-01 00:00:00+00' as timestamptz)) as starts,
       coalesce(ends, cast('9999-01-01 00:00:00+00' as timestamptz)) as ends
from (select * from own union all select * from of_customer) as all_reductions;

-- Spans, also those to come, cut where a discount begins or ends, and, where an amount is spread over items, where another item changes.
create table build.pieces as
with bounds as (
    select distinct _account_id, subscription, moment
    from (
        select _account_id, subscription, starts as moment from build.reductions
        union all select _account_id, subscription, ends from build.reductions
        union all
        select s._account_id, s.subscription, s.starts
        from build.spans as s
        join (select distinct _account_id, subscription from build.reductions where amount_off is not null) as r
          on r._account_id = s._account_id and r.subscription = s.subscription
        union all
        select s._account_id, s.subscription, s.ends
        from build.spans as s
        join (select distinct _account_id, subscription from build.reductions where amount_off is not null) as r
          on r._account_id = s._account_id and r.subscription = s.subscription
        where s.ends is not null
    ) as moments
), cuts as (
    select s._account_id, s.item, s.starts as span_starts, s.ends as span_ends, b.moment
    from build.spans as s
    join bounds as b on b._account_id = s._account_id and b.subscription = s.subscription
         and b.moment > s.starts and (s.ends is null or b.moment < s.ends)
), parts as (
    select _account_id, item, span_starts, moment as starts,
           coalesce(lead(moment) over (partition by _account_id, item, span_starts order by moment), span_ends) as ends,
           false as is_first
    from cuts
    union all
    select _account_id, item, span_starts, span_starts, min(moment), true from cuts group by _account_id, item, span_starts
)
select s._account_id, s.customer, s.subscription, s.item, s.price, s.currency, s.quantity, s.amount, s.off, s.counted_off,
       s.tax, s.evidence, s.exact, s.bill_amount, s.bill_off, s.bill_counted_off, s.bill_tax,
       coalesce(p.starts, s.starts) as starts, case when p.item is null then s.ends else p.ends end as ends,
       coalesce(p.is_first, true) as is_first
from build.spans as s
left join parts as p on p._account_id = s._account_id and p.item = s.item and p.span_starts = s.starts;

-- What a quantity of a price costs for one of its periods, rounded to a whole unit as on an invoice.
create table build.costs as
with need as (
    select _account_id, price, currency, quantity from build.pieces where quantity is not null
    union select _account_id, price, currency, quantity from build.phases where quantity is not null
), packed as (
    select n._account_id, n.price, n.currency, n.quantity, t.tiers_mode, t.billing_scheme,
           case when t.currency = n.currency then t.unit_amount
                else cast(t.currency_options -> n.currency ->> 'unit_amount_decimal' as decimal(38, 12)) end as unit_amount,
           case when t.divide_by is null then n.quantity
                else cast(floor(cast(n.quantity as decimal(38, 6)) / t.divide_by) as bigint)
                     + case when t.pack_round = 'up'
                                 and n.quantity > t.divide_by * cast(floor(cast(n.quantity as decimal(38, 6)) / t.divide_by) as bigint)
                            then 1 else 0 end end as units
    from need as n join build.terms as t on t._account_id = n._account_id and t.price = n.price
), graduated as (
    select p._account_id, p.price, p.currency, p.quantity,
           sum(case when p.quantity > t.above or (p.quantity = 0 and t.above = 0)
                    then t.flat_amount + t.unit_amount * (least(p.quantity, coalesce(t.up_to, p.quantity)) - t.above)
                    else 0 end) as cost
    from packed as p
    join build.tiers as t on t._account_id = p._account_id and t.price = p.price and t.currency = p.currency
    where p.tiers_mode = 'graduated'
    group by p._account_id, p.price, p.currency, p.quantity
), volume as (
    select p._account_id, p.price, p.currency, p.quantity, t.flat_amount + t.unit_amount * p.quantity as cost
    from packed as p
    join build.tiers as t on t._account_id = p._account_id and t.price = p.price and t.currency = p.currency
         and (p.quantity > t.above or (p.quantity = 0 and t.above = 0)) and p.quantity <= coalesce(t.up_to, p.quantity)
    where p.tiers_mode = 'volume'
)
select p._account_id, p.price, p.currency, p.quantity,
       cast(round(cast(coalesce(g.cost, v.cost, case when coalesce(p.billing_scheme, 'per_unit') = 'per_unit'
                                                     then p.units * p.unit_amount end) as decimal(38, 12))) as bigint) as cost
from packed as p
left join graduated as g on g._account_id = p._account_id and g.price = p.price and g.currency = p.currency
     and g.quantity = p.quantity
left join volume as v on v._account_id = p._account_id and v.price = p.price and v.currency = p.currency
     and v.quantity = p.quantity;

create table build.grossed as
select p.*, t.product, t.a_year, t.every_count, coalesce(p.amount, c.cost) as gross,
       p.amount is not null and p.is_first as is_billed
from build.pieces as p
join build.terms as t on t._account_id = p._account_id and t.price = p.price
left join build.costs as c on c._account_id = p._account_id and c.price = p.price and c.currency = p.currency
     and c.quantity = p.quantity;

-- What discounts that are known by themselves take off, where no invoice line says it: percents one after the other,
-- then amounts, which are spread over the items that they apply to.
create table build.taken as
with applied as (
    select g._account_id, g.subscription, g.item, g.starts, g.gross, r.percent_off, r.amount_off,
           coalesce(r.item, '') as scope, r.discount,
           row_number() over (partition by g._account_id, g.item, g.starts
                              order by case when r.percent_off is null then 1 else 0 end, r.starts, r.discount) as place
    from build.grossed as g
    join build.reductions as r on r._account_id = g._account_id and r.subscription = g.subscription
         and (r.item is null or r.item = g.item) and r.starts <= g.starts and r.ends > g.starts
         and (r.applies_to is null or r.applies_to not like '%"products"%' or r.applies_to like '%"' || g.product || '"%')
    where g.gross is not null
), percents as (
    select _account_id, subscription, item, starts, gross,
           max(case when place = 1 then percent_off end) as first, max(case when place = 2 then percent_off end) as second,
           coalesce(sum(case when place > 2 then percent_off end), 0) as others
    from applied group by _account_id, subscription, item, starts, gross
), once as (
    select *, gross - cast(round(gross * coalesce(first, 0) * 0.01) as bigint) as left_over from percents
), twice as (
    select *, left_over - cast(round(left_over * coalesce(second, 0) * 0.01) as bigint) as left_then from once
), reduced as (
    select _account_id, subscription, item, starts, gross,
           left_then - cast(round(left_then * others * 0.01) as bigint) as remaining
    from twice
), spread as (
    select a._account_id, a.subscription, a.item, a.starts, a.discount, a.amount_off, r.remaining,
           sum(r.remaining) over w as up_to_here,
           sum(r.remaining) over (partition by a._account_id, a.subscription, a.scope, a.discount, a.starts) as total
    from applied as a
    join reduced as r on r._account_id = a._account_id and r.item = a.item and r.starts = a.starts
    where a.amount_off is not null
    window w as (partition by a._account_id, a.subscription, a.scope, a.discount, a.starts order by a.item collate "C")
), amounts as (
    select _account_id, item, starts,
           sum(case when total > 0 then cast(round(cast(least(amount_off, total) * up_to_here as decimal(38, 6)) / total) as bigint)
                    - cast(round(cast(least(amount_off, total) * (up_to_here - remaining) as decimal(38, 6)) / total) as bigint)
                    else 0 end) as amount
    from spread group by _account_id, item, starts
)
select r._account_id, r.item, r.starts, r.gross - greatest(r.remaining - coalesce(a.amount, 0), 0) as off
from reduced as r
left join amounts as a on a._account_id = r._account_id and a.item = r.item and a.starts = r.starts;

create table build.valued as
with discounted as (
    select g.*,
           case when g.is_billed then g.counted_off
                when k.item is not null then k.off
                when n.subscription is not null then 0
                when g.bill_amount > 0 then cast(round(cast(g.gross * g.bill_counted_off as decimal(38, 6)) / g.bill_amount) as bigint)
                else 0 end as reduction
    from build.grossed as g
    left join build.taken as k on k._account_id = g._account_id and k.item = g.item and k.starts = g.starts
    left join (select distinct _account_id, subscription from build.reductions) as n
           on n._account_id = g._account_id and n.subscription = g.subscription
    where g.gross is not null
), taxed as (
    select *, gross - reduction
              - case when coalesce(bill_tax, 0) = 0 then 0
                     when is_billed and off = counted_off then tax
                     when bill_amount > bill_off
                     then cast(round(cast((gross - reduction) * bill_tax as decimal(38, 6)) / (bill_amount - bill_off)) as bigint)
                     else 0 end as net,
           gross - case when coalesce(bill_tax, 0) = 0 then 0
                        when bill_amount > bill_off
                        then cast(round(cast(gross * bill_tax as decimal(38, 6)) / (bill_amount - bill_off)) as bigint)
                        else 0 end as list
    from discounted
)
select _account_id, customer, subscription, item, price, product, quantity, currency, starts, ends,
       cast(round(cast(net * a_year as decimal(38, 6)) / (12 * every_count)) as bigint) as mrr,
       cast(round(cast(net * a_year as decimal(38, 6)) / every_count) as bigint) as arr,
       cast(round(cast(list * a_year as decimal(38, 6)) / (12 * every_count)) as bigint) as list_mrr, evidence, exact
from taxed;

-- Pieces that change nothing are one span.
create table build.item_spans as
with marked as (
    select v._account_id, v.customer, v.subscription, v.item, v.price, v.product, v.quantity, v.currency, v.starts,
           case when v.ends <= n.moment then v.ends end as ends, v.mrr, v.arr, v.list_mrr, v.evidence, v.exact,
           case when lag(v.ends) over w = v.starts and lag(v.price) over w = v.price
                     and lag(v.currency) over w = v.currency
                     and coalesce(lag(v.quantity) over w, -1) = coalesce(v.quantity, -1) and lag(v.mrr) over w = v.mrr
                     and lag(v.arr) over w = v.arr and lag(v.list_mrr) over w = v.list_mrr then 0 else 1 end as is_new
    from build.valued as v
    join build.now as n on n._account_id = v._account_id and v.starts <= n.moment
    window w as (partition by v._account_id, v.item order by v.starts)
), grouped as (
    select *, sum(is_new) over (partition by _account_id, item order by starts) as run from marked
), merged as (
    select _account_id, max(customer) as customer, max(subscription) as subscription, item, max(price) as price,
           max(product) as product, max(quantity) as quantity, max(currency) as currency, min(starts) as starts,
           case when count(ends) = count(*) then max(ends) end as ends, max(mrr) as mrr, max(arr) as arr,
           max(list_mrr) as list_mrr, max(case when is_new = 1 then evidence end) as evidence,
           min(case when exact then 1 else 0 end) = 1 as exact
    from grouped
    group by _account_id, item, run
)
select m.*, cast(round(cast(m.mrr * r.factor as decimal(38, 12))) as bigint) as mrr_converted,
       cast(round(cast(m.arr * r.factor as decimal(38, 12))) as bigint) as arr_converted,
       cast(round(cast(m.list_mrr * r.factor as decimal(38, 12))) as bigint) as list_mrr_converted
from merged as m left join stripe_metrics._conversions as r on r.currency = m.currency;
