-- What is to come: the phases of schedules, and the items of subscriptions that are still in their trial.


create table build.phases as
with phases as (
    select _account_id, subscription, status, end_behavior, stripe_metrics.json_items(phases) as phase
    from source.subscription_schedules
    where subscription is not null and _deleted_at is null
), dated as (
    select _account_id, subscription, status, end_behavior, to_timestamp(cast(phase ->> 'start_date' as bigint)) as starts,
           to_timestamp(cast(phase ->> 'end_date' as bigint)) as ends, phase -> 'items' as items
    from phases
), items as (
    select _account_id, subscription, status, end_behavior, starts, ends, stripe_metrics.json_items(items) as item from dated
)
select i._account_id, i.subscription, i.status, i.end_behavior, i.starts, i.ends,
       coalesce(i.item -> 'price' ->> 'id', i.item ->> 'price') as price, s.currency,
       coalesce(cast(i.item ->> 'quantity' as bigint), 1) as quantity
from items as i join source.subscriptions as s on s._account_id = i._account_id and s.id = i.subscription;

create table build.trying as
select s._account_id, s.id as subscription, i.price ->> 'id' as price, s.currency, i.quantity
from source.subscriptions as s
join source.subscription_items as i on i._account_id = s._account_id and i._parent_id = s.id and i._deleted_at is null
where s.status = 'trialing';
