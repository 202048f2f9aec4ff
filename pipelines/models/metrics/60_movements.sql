-- How customers' MRR moves, day by day, from the spans of the customers that are built again.

create table build.movements as
with dated as (
    select i._account_id, i.customer, i.currency, i.mrr, i.arr,
           cast(timezone(s.timezone, i.starts) as date) as starts, cast(timezone(s.timezone, i.ends) as date) as ends
    from stripe_metrics.item_spans as i
    join build.customers as c on c._account_id = i._account_id and c.customer = i.customer
    cross join stripe_metrics.settings as s
    where i.mrr <> 0 or i.arr <> 0
), changes as (
    select _account_id, customer, currency, day, cast(sum(mrr) as bigint) as mrr, cast(sum(arr) as bigint) as arr
    from (
        select _account_id, customer, currency, starts as day, mrr, arr from dated
        union all
        select _account_id, customer, currency, ends, -mrr, -arr from dated where ends is not null
    ) as ends_and_starts
    group by _account_id, customer, currency, day
    having sum(mrr) <> 0 or sum(arr) <> 0
), running as (
    select *, cast(sum(mrr) over w as bigint) as mrr_after, cast(sum(arr) over w as bigint) as arr_after
    from changes
    window w as (partition by _account_id, customer, currency order by day)
), steps as (  -- a currency that begins to be paid, or no longer is
    select *, case when mrr_after <> 0 then 1 else 0 end - case when mrr_after - mrr <> 0 then 1 else 0 end as step
    from running
), days as (
    select _account_id, customer, day, cast(sum(sum(step)) over w as bigint) as paid_after,
           cast(sum(sum(step)) over w - sum(step) as bigint) as paid_before
    from steps group by _account_id, customer, day
    window w as (partition by _account_id, customer order by day)
), firsts as (
    select _account_id, customer, min(day) as day from days where paid_after > 0 group by _account_id, customer
)
select s._account_id, s.customer, s.currency, s.day,
       case when s.mrr = 0 then case when s.arr > 0 then 'expansion' else 'contraction' end
            when d.paid_before = 0 then case when s.day = f.day then 'new' else 'reactivation' end
            when d.paid_after = 0 then 'churn'
            when s.mrr > 0 then 'expansion' else 'contraction' end as movement,
       s.mrr, s.arr, s.mrr_after - s.mrr as mrr_before, s.mrr_after,
       cast(round(cast(s.mrr_after * r.factor as decimal(38, 12))) as bigint)
           - cast(round(cast((s.mrr_after - s.mrr) * r.factor as decimal(38, 12))) as bigint) as mrr_converted,
       cast(round(cast(s.arr_after * r.factor as decimal(38, 12))) as bigint)
           - cast(round(cast((s.arr_after - s.arr) * r.factor as decimal(38, 12))) as bigint) as arr_converted,
       cast(round(cast((s.mrr_after - s.mrr) * r.factor as decimal(38, 12))) as bigint) as mrr_before_converted,
       cast(round(cast(s.mrr_after * r.factor as decimal(38, 12))) as bigint) as mrr_after_converted
from steps as s
join days as d on d._account_id = s._account_id and d.customer = s.customer and d.day = s.day
left join firsts as f on f._account_id = s._account_id and f.customer = s.customer
left join stripe_metrics._conversions as r on r.currency = s.currency;

create table build._customer_months as
with monthly as (
    select _account_id, customer, currency, cast(date_trunc('month', day) as date) as month, sum(mrr) as mrr, sum(arr) as arr,
           sum(mrr_converted) as mrr_converted, sum(arr_converted) as arr_converted
    from build.movements group by _account_id, customer, currency, cast(date_trunc('month', day) as date)
), cohorts as (
    select _account_id, customer, min(cast(date_trunc('month', day) as date)) as cohort
    from build.movements where movement = 'new' group by _account_id, customer
)
select m._account_id, m.customer, m.currency, m.month,
       lead(m.month) over (partition by m._account_id, m.customer, m.currency order by m.month) as until,
       cast(sum(m.mrr) over w as bigint) as mrr, cast(sum(m.arr) over w as bigint) as arr, c.cohort,
       cast(sum(m.mrr_converted) over w as bigint) as mrr_converted, cast(sum(m.arr_converted) over w as bigint) as arr_converted
from monthly as m
left join cohorts as c on c._account_id = m._account_id and c.customer = m.customer
window w as (partition by m._account_id, m.customer, m.currency order by m.month);
