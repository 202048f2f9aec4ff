-- From evidence to spans: what each item was, from when to when.

-- The newest moment that an account's tables show; nothing after it counts.
create table build.now as
select _account_id, moment from build.newest;

create table build.points as
with items as (
    select _account_id, _parent_id as subscription, id as item, price ->> 'id' as price, quantity, created, _as_of, _deleted_at
    from source.subscription_items
), told as (
    -- 1. whole periods. A period that begins in the trial, or is cut, tells of price and quantity, not of the cost.
    select p._account_id, p.subscription, p.item, p.starts as moment, 1 as preference, p.price, p.currency, p.quantity,
           case when p.starts < s.trial_end and p.starts >= coalesce(s.trial_start, s.start_date) then null
                when t.least_days is not null and p.ends < p.starts + t.least_days * interval '23 hours 30 minutes' then null
                else p.amount end as amount,
           p.off, p.counted_off, p.tax, p.ends as line_ends, false as is_end, 'invoice' as evidence, true as exact,
           cast(null as text) as credited_price, cast(null as bigint) as credited_quantity
    from build.periods as p
    join source.subscriptions as s on s._account_id = p._account_id and s.id = p.subscription
    join build.terms as t on t._account_id = p._account_id and t.price = p.price
    where t.usage_type = 'licensed'
    union all
    -- Usage counts from the moment that it is billed, where the setting asks for it.
    select p._account_id, p.subscription, p.item, greatest(p.starts, least(p.ends, p.seen)), 1, p.price, p.currency,
           p.quantity, p.amount, p.off, p.counted_off, p.tax, null, false, 'invoice', true, null, null
    from build.periods as p
    join build.terms as t on t._account_id = p._account_id and t.price = p.price
    where t.usage_type = 'metered' and (select metered from stripe_metrics.settings) = 'trailing'
    union all
    -- 2. prorations
    select _account_id, subscription, item, starts, 2, price, currency, quantity, null, 0, 0, 0, ends, is_end, 'proration', true,
           credited_price, credited_quantity
    from build.turns
    union all
    -- 3. events: what an item is, and that it is gone
    select h._account_id, h.subscription, h.item, h.moment, 3, h.price, t.currency, h.quantity, null, 0, 0, 0, null, false,
           'event', true, null, null
    from build.heard_items as h
    join build.terms as t on t._account_id = h._account_id and t.price = h.price and t.usage_type = 'licensed'
    union all
    select h._account_id, h.subscription, k.item, h.moment, 3, null, null, null, null, 0, 0, 0, null, true, 'event', true, null, null
    from build.heard as h
    join (
        select _account_id, subscription, item from build.periods
        union select _account_id, subscription, item from build.turns
        union select _account_id, subscription, item from build.heard_items
        union select _account_id, subscription, item from items
    ) as k on k._account_id = h._account_id and k.subscription = h.subscription
    left join build.heard_items as i on i._account_id = h._account_id and i.subscription = h.subscription
         and i.moment = h.moment and i.item = k.item
    where i.item is null and not h.is_cut
), known as (
    select t.* from told as t join build.now as n on n._account_id = t._account_id
    where t.moment <= n.moment
), latest as (
    select * from (
        select *, row_number() over (partition by _account_id, item order by moment desc, preference desc, price) as place
        from known
    ) as ranked where place = 1
), earliest as (
    select * from (
        select *, row_number() over (partition by _account_id, item order by moment, preference, price) as place from known
    ) as ranked where place = 1
), present as (
    -- 4. now: where today's item differs from the last that was told, it changed when it was seen
    select i._account_id, i.subscription, i.item, case when l.item is null then i.created else i._as_of end as moment,
           4 as preference, i.price, t.currency, i.quantity, cast(null as bigint) as amount, 0 as off, 0 as counted_off,
           0 as tax, cast(null as timestamptz) as line_ends, false as is_end, 'current' as evidence,
           l.item is null as exact, cast(null as text) as credited_price, cast(null as bigint) as credited_quantity
    from items as i
    join build.terms as t on t._account_id = i._account_id and t.price = i.price and t.usage_type = 'licensed'
    left join latest as l on l._account_id = i._account_id and l.item = i.item
    where i._deleted_at is null
      and (l.item is null or l.is_end or l.price <> i.price or coalesce(l.quantity, 0) <> coalesce(i.quantity, 0))
    union all
    -- an item that is older than its first line: it was added without a proration
    select e._account_id, e.subscription, e.item, i.created, 4, e.price, e.currency, e.quantity, null, 0, 0, 0, null, false,
           'current', false, null, null
    from earliest as e
    join items as i on i._account_id = e._account_id and i.item = e.item and i.created < e.moment
    join build.terms as t on t._account_id = e._account_id and t.price = e.price and t.usage_type = 'licensed'
    where not e.is_end
    union all
    -- an item that is gone, nobody knows when: it had been paid for until its last line's end, if it was not seen before
    select l._account_id, l.subscription, l.item, greatest(l.moment, coalesce(least(l.line_ends, i._deleted_at, s.ended_at), s._as_of)),
           4, null, null, null, null, 0, 0, 0, null, true, 'current', false, null, null
    from latest as l
    join source.subscriptions as s on s._account_id = l._account_id and s.id = l.subscription
    left join items as i on i._account_id = l._account_id and i.item = l.item
    where not l.is_end and (i.item is null or i._deleted_at is not null)
)
select * from known
union all
select p.* from present as p join build.now as n on n._account_id = p._account_id where p.moment <= n.moment;

-- A point holds until the item's next. Where several are of one second, the best evidence holds.
create table build.states as
with ordered as (
    select p.*, lead(moment) over w as next_moment,
           sum(case when amount > 0 and evidence = 'invoice' then 1 else 0 end) over (
               partition by _account_id, item order by moment, preference, price
               rows between unbounded preceding and current row) as bill
    from build.points as p
    window w as (partition by _account_id, item order by moment, preference, price)
), lasting as (
    select *, lag(price) over w as last_price, lag(quantity) over w as last_quantity, lag(is_end) over w as was_end
    from ordered where next_moment is null or next_moment > moment
    window w as (partition by _account_id, item order by moment)
), judged as (
    -- What an invoice says anew without proration, event or schedule changed some time before it; and what is credited
    -- without having been known began some time before.
    select l.*, l.exact and not case
               when l.preference = 1 and l.line_ends is not null
               then not coalesce(l.was_end, true) and (l.last_price <> l.price or l.last_quantity <> l.quantity)
                    and s.subscription is null
               when l.credited_price is not null
               then coalesce(l.was_end, true) or l.last_price <> l.credited_price or l.last_quantity <> l.credited_quantity
               else false end as told
    from lasting as l
    left join (select distinct _account_id, subscription, starts from build.phases) as s
           on s._account_id = l._account_id and s.subscription = l.subscription and s.starts = l.moment
), followed as (
    select *, lead(told) over (partition by _account_id, item order by moment) as next_told from judged
), billed as (
    select _account_id, item, bill, max(amount) as amount, max(off) as off, max(counted_off) as counted_off, max(tax) as tax
    from ordered where amount > 0 and evidence = 'invoice' and (off <> 0 or tax <> 0)
    group by _account_id, item, bill
)
select o._account_id, o.subscription, o.item, o.moment as starts, o.next_moment as ends, o.price, o.currency, o.quantity,
       o.amount, o.off, o.counted_off, o.tax, o.evidence, o.told and coalesce(o.next_told, true) as exact,
       b.amount as bill_amount, b.off as bill_off, b.counted_off as bill_counted_off, b.tax as bill_tax
from followed as o
left join billed as b on b._account_id = o._account_id and b.item = o.item and b.bill = o.bill
where not o.is_end;

-- When a subscription counts: from its start to its end, less its silences.
create table build.lives as
select s._account_id, s.id as subscription, s.customer, coalesce(s.start_date, s.created) as starts,
       least(s.ended_at, s._deleted_at, case when o.churn_at = 'request' then s.canceled_at end) as ends,
       s.status, s._as_of, s.trial_end, coalesce(s.trial_start, s.start_date) as trial_start, s.pause_collection ->> 'behavior' as pause
from source.subscriptions as s
cross join stripe_metrics.settings as o
where s.customer is not null and s.status not in ('incomplete', 'incomplete_expired');

create table build.silences as
with moments as (
    select _account_id, subscription, moment, status, pause from build.heard
    union all
    select l._account_id, l.subscription, l._as_of, l.status, l.pause
    from build.lives as l
    left join (select _account_id, subscription, max(moment) as moment from build.heard group by _account_id, subscription) as h
           on h._account_id = l._account_id and h.subscription = l.subscription
    where h.moment is null or l._as_of > h.moment
), judged as (
    select m._account_id, m.subscription, m.moment,
           m.status in ('incomplete', 'incomplete_expired', 'unpaid', 'paused', 'canceled')
           or (o.pause = 'exclude' and coalesce(m.pause, '') in ('void', 'mark_uncollectible')) as is_silent,
           lead(m.moment) over (partition by m._account_id, m.subscription order by m.moment) as until
    from moments as m cross join stripe_metrics.settings as o
)
select _account_id, subscription, moment as starts, until as ends from judged where is_silent
union all
select _account_id, subscription, trial_start, trial_end from build.lives where trial_end > trial_start
union all
select _account_id, subscription, trial_end, null from build.lives where status = 'paused' and trial_end <= _as_of
union all
select i._account_id, coalesce((i.parent -> 'subscription_details') ->> 'subscription', i.subscription),
       coalesce(i.due_date, to_timestamp(cast(i.status_transitions ->> 'finalized_at' as bigint)), i.created)
           + o.past_due_days * interval '1 day',
       coalesce(to_timestamp(cast(i.status_transitions ->> 'paid_at' as bigint)),
                to_timestamp(cast(i.status_transitions ->> 'voided_at' as bigint)))
from source.invoices as i cross join stripe_metrics.settings as o
where o.past_due_days is not null and i.status <> 'draft' and i.amount_due > 0 and i._deleted_at is null
  and coalesce((i.parent -> 'subscription_details') ->> 'subscription', i.subscription) is not null;

create table build.windows as
with bounded as (
    select l._account_id, l.subscription, greatest(q.starts, l.starts) as starts,
           coalesce(q.ends, cast('9999-01-01 00:00:00+00' as timestamptz)) as ends
    from build.silences as q
    join build.lives as l on l._account_id = q._account_id and l.subscription = q.subscription
    where q.ends is null or (q.ends > q.starts and q.ends > l.starts)
), gaps as (
    select b._account_id, b.subscription, b.starts as silent_from,
           max(b.ends) over (partition by b._account_id, b.subscription order by b.starts, b.ends
                             rows between unbounded preceding and 1 preceding) as silent_until
    from bounded as b
), loudness as (
    select l._account_id, l.subscription, l.customer, coalesce(g.silent_until, l.starts) as starts, g.silent_from as ends, l.ends as life_ends
    from gaps as g join build.lives as l on l._account_id = g._account_id and l.subscription = g.subscription
    union all
    select l._account_id, l.subscription, l.customer, coalesce(b.ends, l.starts), null, l.ends
    from build.lives as l
    left join (select _account_id, subscription, max(ends) as ends from bounded group by _account_id, subscription) as b
           on b._account_id = l._account_id and b.subscription = l.subscription
)
select _account_id, subscription, customer, starts, least(ends, life_ends) as ends
from loudness
where starts < cast('9999-01-01 00:00:00+00' as timestamptz)
  and (least(ends, life_ends) is null or least(ends, life_ends) > starts);

-- Those that begin after the newest moment are to come: when a trial ends.
create table build.spans as
select s._account_id, w.customer, s.subscription, s.item, s.price, s.currency, s.quantity, s.amount, s.off, s.counted_off,
       s.tax, s.evidence, s.exact, s.bill_amount, s.bill_off, s.bill_counted_off, s.bill_tax,
       greatest(s.starts, w.starts) as starts,
       case when least(s.ends, w.ends) <= n.moment then least(s.ends, w.ends) end as ends
from build.states as s
join build.windows as w on w._account_id = s._account_id and w.subscription = s.subscription
     and w.starts < coalesce(s.ends, cast('9999-01-01 00:00:00+00' as timestamptz))
     and (w.ends is null or w.ends > s.starts)
join build.now as n on n._account_id = s._account_id;
