-- What is to come: the phases of schedules, also of those that will begin a subscription.

create table build.phases as
with phases as (
    select _account_id, coalesce(subscription, id) as subscription, customer, subscription is null as is_planned, status,
           end_behavior, stripe_metrics.json_items(phases) as phase
    from source.subscription_schedules
    where _deleted_at is null
), dated as (
    select _account_id, subscription, customer, is_planned, status, end_behavior, phase ->> 'currency' as currency,
           to_timestamp(cast(phase ->> 'start_date' as bigint)) as starts,
           to_timestamp(cast(phase ->> 'end_date' as bigint)) as ends,
           to_timestamp(cast(phase ->> 'trial_end' as bigint)) as trial_end, phase -> 'items' as items
    from phases
), items as (
    select _account_id, subscription, customer, is_planned, status, end_behavior, currency, starts, ends, trial_end,
           stripe_metrics.json_items(items) as item
    from dated
)
select i._account_id, i.subscription, i.customer, i.is_planned, i.status, i.end_behavior,
       greatest(i.starts, case when i.is_planned then i.trial_end end) as starts, i.ends,
       coalesce((i.item -> 'price') ->> 'id', i.item ->> 'price') as price, coalesce(s.currency, i.currency, t.currency) as currency,
       coalesce(cast(i.item ->> 'quantity' as bigint), 1) as quantity
from items as i
left join source.subscriptions as s on s._account_id = i._account_id and s.id = i.subscription
left join build.terms as t on t._account_id = i._account_id and t.price = coalesce((i.item -> 'price') ->> 'id', i.item ->> 'price')
where i.is_planned or s.id is not null;
