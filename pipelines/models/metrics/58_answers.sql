-- From spans: what subscriptions are now, their trials, what is to come, what happened to them, what could not be known.

create table build.running as
select _account_id, subscription, cast(sum(mrr) as bigint) as mrr, cast(sum(arr) as bigint) as arr,
       cast(sum(list_mrr) as bigint) as list_mrr
from build.item_spans where ends is null group by _account_id, subscription;

create table build._subscriptions as
with periods as (
    select _account_id, _parent_id as subscription, max(current_period_end) as period_ends,
           max(case (price -> 'recurring') ->> 'interval' when 'year' then 4 when 'month' then 3 when 'week' then 2 else 1 end) as longest
    from source.subscription_items where _deleted_at is null group by _account_id, _parent_id
), methods as (
    select s._account_id, s.id as subscription,
           coalesce(s.default_payment_method, s.default_source, c.invoice_settings ->> 'default_payment_method', c.default_source) as method
    from source.subscriptions as s
    left join stripe.customers as c on c._account_id = s._account_id and c.id = s.customer
)
select s._account_id, s.id as subscription, s.customer, s.currency, s.status, coalesce(r.mrr, 0) as mrr,
       coalesce(r.arr, 0) as arr, coalesce(r.list_mrr, 0) as list_mrr, coalesce(s.start_date, s.created) as started_at,
       case when s.trial_end > n.moment then s.trial_end end as trial_ends,
       case when s.ended_at is null then coalesce(s.cancel_at, case when s.cancel_at_period_end then p.period_ends end) end as ends_at,
       s.canceled_at, s.ended_at, s.cancellation_details ->> 'reason' as reason, s.cancellation_details ->> 'feedback' as feedback,
       p.period_ends, case p.longest when 4 then 'year' when 3 then 'month' when 2 then 'week' when 1 then 'day' end as longest,
       m.method as pays_by,
       cast(make_date(cast(w.card ->> 'exp_year' as integer), cast(w.card ->> 'exp_month' as integer), 1)
            + interval '1 month' as date) as card_expires
from source.subscriptions as s
join build.now as n on n._account_id = s._account_id
left join build.running as r on r._account_id = s._account_id and r.subscription = s.id
left join periods as p on p._account_id = s._account_id and p.subscription = s.id
left join methods as m on m._account_id = s._account_id and m.subscription = s.id
left join stripe.payment_methods as w on w._account_id = s._account_id and w.id = m.method
where s.customer is not null;

create table build.trials as
with paid as (
    select l._account_id, l.subscription, max(l.starts) as last_paid
    from build.lines as l
    join source.subscriptions as s on s._account_id = l._account_id and s.id = l.subscription
    join source.invoices as i on i._account_id = l._account_id and i.id = l.invoice and i.status = 'paid'
    where s.trial_end is not null and l.amount > 0 and not l.proration and l.starts >= s.trial_end
    group by l._account_id, l.subscription
)
select s._account_id, s.id as subscription, s.customer, s.currency, coalesce(s.trial_start, s.start_date) as started_at,
       case when least(s.trial_end, s.ended_at) <= n.moment then least(s.trial_end, s.ended_at) end as ended_at,
       p.subscription is not null as converted
from source.subscriptions as s
join build.now as n on n._account_id = s._account_id
left join paid as p on p._account_id = s._account_id and p.subscription = s.id
where s.trial_end > coalesce(s.trial_start, s.start_date) and s.customer is not null
  and s.status not in ('incomplete', 'incomplete_expired');

create table build._scheduled as
with priced as (
    select p._account_id, p.subscription, p.customer, p.is_planned, p.currency, p.end_behavior, p.starts, p.ends,
           sum(cast(round(cast(c.cost * t.a_year as decimal(38, 6)) / (12 * t.every_count)) as bigint)) as mrr
    from build.phases as p
    join build.terms as t on t._account_id = p._account_id and t.price = p.price and t.usage_type = 'licensed'
    join build.costs as c on c._account_id = p._account_id and c.price = p.price and c.currency = p.currency
         and c.quantity = p.quantity
    where p.status in ('active', 'not_started')
    group by p._account_id, p.subscription, p.customer, p.is_planned, p.currency, p.end_behavior, p.starts, p.ends
), phased as (  -- as much cheaper as the subscription is now
    select p._account_id, p.subscription, p.customer, p.is_planned, p.currency, p.end_behavior, p.starts, p.ends,
           cast(case when s.list_mrr > 0 then round(cast(p.mrr * s.mrr as decimal(38, 6)) / s.list_mrr) else p.mrr end as bigint) as mrr,
           coalesce(s.mrr, 0) as mrr_now
    from priced as p
    join build.now as n on n._account_id = p._account_id and coalesce(p.ends, n.moment) >= n.moment
    left join build._subscriptions as s on s._account_id = p._account_id and s.subscription = p.subscription
    where p.is_planned or s.subscription is not null
), chained as (
    select *, coalesce(lag(mrr) over w, mrr_now) as mrr_before, lead(starts) over w is null as is_last
    from phased
    window w as (partition by _account_id, subscription order by starts)
), following as (  -- what the items will be worth when a discount or a trial ends
    select v._account_id, v.subscription, v.starts, v.mrr, n.moment,
           case when lag(v.ends) over w = v.starts then lag(v.mrr) over w else 0 end as mrr_before
    from build.valued as v
    join (select distinct v._account_id, v.item from build.valued as v
          join build.now as n on n._account_id = v._account_id and v.starts > n.moment) as f
      on f._account_id = v._account_id and f.item = v.item
    join build.now as n on n._account_id = v._account_id
    window w as (partition by v._account_id, v.item order by v.starts)
), coming as (
    select s._account_id, s.ends_at as moment, s.subscription, s.customer, s.currency, -s.mrr as mrr,
           'cancellation' as reason, false as is_planned
    from build._subscriptions as s
    union all
    select _account_id, starts, subscription, customer, currency, mrr - mrr_before, 'schedule', is_planned from chained
    union all
    select _account_id, ends, subscription, customer, currency, -mrr, 'cancellation', is_planned from chained
    where is_last and end_behavior = 'cancel'
    union all
    select f._account_id, f.starts, f.subscription, s.customer, s.currency, sum(f.mrr - f.mrr_before),
           case when f.starts = s.trial_ends then 'trial ends' else 'discount ends' end, false
    from following as f
    join build._subscriptions as s on s._account_id = f._account_id and s.subscription = f.subscription
         and (s.ends_at is null or s.ends_at > f.starts)
    where f.starts > f.moment
    group by f._account_id, f.starts, f.subscription, s.customer, s.currency, s.trial_ends
)
select c._account_id, cast(timezone(o.timezone, c.moment) as date) as date, c.customer, c.subscription, c.currency,
       cast(c.mrr as bigint) as mrr, c.reason, c.is_planned
from coming as c
join build.now as n on n._account_id = c._account_id
cross join stripe_metrics.settings as o
where c.moment > n.moment and c.moment < cast('9999-01-01 00:00:00+00' as timestamptz) and c.mrr <> 0;

create table build.subscription_events as
with firsts as (
    select _account_id, subscription, min(starts) as starts from build.item_spans group by _account_id, subscription
), steps as (
    select i.*, lag(i.ends) over w as ended, lag(i.price) over w as price_before, lag(i.quantity) over w as quantity_before,
           lag(i.mrr) over w as mrr_before, f.starts as first_starts, lead(i.starts) over w as next_starts
    from build.item_spans as i
    join firsts as f on f._account_id = i._account_id and f.subscription = i.subscription
    window w as (partition by i._account_id, i.item order by i.starts)
), turned as (
    select h._account_id, h.subscription, h.moment, h.status, h.pause, h.canceled_at,
           lag(h.status) over w as status_before, lag(h.pause) over w as pause_before, lag(h.canceled_at) over w as canceled_before,
           row_number() over w as place
    from build.heard as h
    window w as (partition by h._account_id, h.subscription order by h.moment)
), happened as (
    select s._account_id, s.started_at as moment, s.subscription, 'started' as kind, cast(null as text) as before,
           cast(null as text) as after, cast(0 as bigint) as mrr
    from build._subscriptions as s where s.status not in ('incomplete', 'incomplete_expired')
    union all
    select t._account_id, t.started_at, t.subscription, 'trial_started', null, null, 0 from build.trials as t
    union all
    select t._account_id, t.ended_at, t.subscription, 'trial_converted', null, null, 0 from build.trials as t where t.converted
    union all
    select s._account_id, s.starts, s.subscription,
           case when s.price_before is null or s.ended < s.starts then 'upgraded'
                when s.price_before <> s.price
                then case when b.every <> t.every or b.every_count <> t.every_count then 'interval_changed'
                          when s.mrr >= s.mrr_before then 'upgraded' else 'downgraded' end
                when coalesce(s.quantity_before, -1) <> coalesce(s.quantity, -1) then 'quantity_changed'
                else 'discount_changed' end,
           case when s.ended < s.starts then null when s.price_before <> s.price or s.price_before is null then s.price_before
                when coalesce(s.quantity_before, -1) <> coalesce(s.quantity, -1) then cast(s.quantity_before as text)
                else cast(s.mrr_before as text) end,
           case when s.price_before is null or s.ended < s.starts or s.price_before <> s.price then s.price
                when coalesce(s.quantity_before, -1) <> coalesce(s.quantity, -1) then cast(s.quantity as text)
                else cast(s.mrr as text) end,
           case when s.ended = s.starts then s.mrr - s.mrr_before else s.mrr end
    from steps as s
    left join build.terms as t on t._account_id = s._account_id and t.price = s.price
    left join build.terms as b on b._account_id = s._account_id and b.price = s.price_before
    where s.starts > s.first_starts
    union all
    select s._account_id, s.ends, s.subscription, 'downgraded', s.price, null, -s.mrr
    from steps as s
    join build._subscriptions as u on u._account_id = s._account_id and u.subscription = s.subscription
    where s.ends is not null and (s.next_starts is null or s.next_starts > s.ends) and (u.ended_at is null or s.ends < u.ended_at)
    union all
    select s._account_id, s.canceled_at, s.subscription, 'cancel_requested', null, s.reason, 0
    from build._subscriptions as s where s.canceled_at is not null and (s.ended_at is null or s.canceled_at < s.ended_at)
    union all
    select t._account_id, t.moment, t.subscription, 'cancel_withdrawn', null, null, 0 from turned as t
    where t.place > 1 and t.canceled_before is not null and t.canceled_at is null
    union all
    select s._account_id, s.ended_at, s.subscription, 'canceled', s.status, s.reason, -coalesce(l.mrr, 0)
    from build._subscriptions as s
    left join (select _account_id, subscription, ends, sum(mrr) as mrr from build.item_spans
               where ends is not null group by _account_id, subscription, ends) as l
           on l._account_id = s._account_id and l.subscription = s.subscription and l.ends = s.ended_at
    where s.ended_at is not null
    union all
    select t._account_id, t.moment, t.subscription,
           case when t.status = 'past_due' then 'past_due' when t.status = 'active' and t.status_before = 'past_due' then 'recovered'
                when t.status = 'paused' or (t.pause is not null and t.pause_before is null) then 'paused' else 'resumed' end,
           t.status_before, t.status, 0
    from turned as t
    where t.place > 1 and t.status <> 'canceled'
      and ((t.status <> t.status_before and (t.status in ('past_due', 'paused') or t.status_before in ('past_due', 'paused')))
           or coalesce(t.pause, '') <> coalesce(t.pause_before, ''))
)
select h._account_id, h.moment, h.subscription, s.customer, s.currency, h.kind, h.before, h.after, cast(h.mrr as bigint) as mrr,
       cast(round(cast(h.mrr * r.factor as decimal(38, 12))) as bigint) as mrr_converted
from happened as h
join build._subscriptions as s on s._account_id = h._account_id and s.subscription = h.subscription
left join stripe_metrics._conversions as r on r.currency = s.currency
where h.moment is not null;

create table build._gaps as
with priced as (
    select _account_id, subscription, price from build.lines where item is not null
    union all
    select _account_id, _parent_id, price ->> 'id' from source.subscription_items where _deleted_at is null
), no_cost as (
    select distinct _account_id, subscription, item from build.grossed where gross is null
), gaps as (
    select _account_id, subscription, 'seen, not told' as kind, mrr from build.item_spans where not exact
    union all
    select distinct p._account_id, p.subscription, 'price not loaded', cast(0 as bigint)
    from priced as p
    left join build.terms as t on t._account_id = p._account_id and t.price = p.price
    where t.price is null and p.price is not null
    union all
    select _account_id, subscription, 'cost not known', 0 from no_cost
    union all
    select distinct l._account_id, l.subscription, 'discount not loaded', cast(0 as bigint) from build.lines as l where l.off_unknown
    union all
    select l._account_id, l.subscription, 'pause not told', coalesce(s.mrr, 0)
    from build.lives as l
    join build._subscriptions as s on s._account_id = l._account_id and s.subscription = l.subscription
    left join (select distinct _account_id, subscription from build.heard where status in ('unpaid', 'paused') or pause is not null) as h
           on h._account_id = l._account_id and h.subscription = l.subscription
    where h.subscription is null and (l.pause is not null or l.status = 'unpaid')
    union all
    select _account_id, id, 'ends before it starts', 0 from source.subscriptions where ended_at < start_date
)
select g._account_id, g.subscription, g.kind, s.currency, cast(g.mrr as bigint) as mrr
from gaps as g
left join build._subscriptions as s on s._account_id = g._account_id and s.subscription = g.subscription;

create table build._due as
select m._account_id, m.subscription, min(m.moment) as moment
from (
    select _account_id, subscription, starts as moment from build.windows
    union all select _account_id, subscription, ends from build.windows
    union all select _account_id, subscription, trial_end from build.lives
    union all select _account_id, subscription, ends_at from build._subscriptions
    union all select _account_id, subscription, starts from build.reductions
    union all select _account_id, subscription, ends from build.reductions
    union all select _account_id, subscription, starts from build.phases
    union all select _account_id, subscription, ends from build.phases
    union all select _account_id, subscription, starts from build.periods
    union all select _account_id, subscription, least(ends, seen) from build.periods where usage_type = 'metered'
    union all select _account_id, subscription, starts from build.turns
    union all select _account_id, subscription, moment from build.heard
) as m
join build.now as n on n._account_id = m._account_id and m.moment > n.moment
where m.moment < cast('9999-01-01 00:00:00+00' as timestamptz)
group by m._account_id, m.subscription;
