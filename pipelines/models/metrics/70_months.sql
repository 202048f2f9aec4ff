-- Every month of an account, from its first movement to its newest moment.
delete from stripe_metrics._months;

insert into stripe_metrics._months
with recursive bounds as (
    select b._account_id, f.month as first,
           cast(date_trunc('month', timezone((select timezone from stripe_metrics.settings), b.as_of)) as date) as last
    from stripe_metrics._builds as b
    join (select _account_id, cast(date_trunc('month', min(day)) as date) as month from stripe_metrics.movements
          group by _account_id) as f on f._account_id = b._account_id
), months as (
    select _account_id, first as month, last from bounds
    union all
    select _account_id, cast(month + interval '1 month' as date), last from months
    where month + interval '1 month' <= last
)
select _account_id, month from months;
