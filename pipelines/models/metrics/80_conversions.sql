-- What one smallest unit of a currency is worth in the smallest unit of the reporting currency, by the user's own rates.
create or replace view stripe_metrics._conversions as
with decimals as (
    select currency, rate, case decimals when 0 then 1 when 3 then 1000 else 100 end as units
    from (
        select r.currency, r.rate, coalesce(c.decimals, 2) as decimals
        from (
            select lower(currency) as currency, rate from stripe_metrics.exchange_rates
            union all
            select lower(reporting_currency), 1 from stripe_metrics.settings
            where lower(reporting_currency) not in (select lower(currency) from stripe_metrics.exchange_rates)
        ) as r left join stripe_metrics.currencies as c on c.currency = r.currency
    ) as known
)
select d.currency, d.rate * p.units / d.units as factor
from decimals as d
cross join stripe_metrics.settings as s
join decimals as p on p.currency = lower(s.reporting_currency)
where s.reporting_currency is not null;
