-- What events say about subscriptions: all of it, at their second. From the list of events and from webhooks.

create table build.heard as
with told as (
    select _account_id, id, type, created as moment, data -> 'object' as object, data -> 'previous_attributes' as previous
    from source.events
    union all
    select w.account_id, w.id, w.type, w.created, (w.payload -> 'data') -> 'object', (w.payload -> 'data') -> 'previous_attributes'
    from source.stripe_webhook_events as w
    where not exists (select 1 from source.events as e where e._account_id = w.account_id and e.id = w.id)
), named as (
    select _account_id, id, moment, object ->> 'id' as subscription, object ->> 'status' as status, object, previous,
           case type when 'customer.subscription.created' then 1 when 'customer.subscription.deleted' then 3 else 2 end as step
    from told where (object ->> 'object') = 'subscription' and (object ->> 'id') is not null
), superseded as (  -- another event of the same second says that it began from this one's state
    select distinct a._account_id, a.id
    from named as a
    join named as b on b._account_id = a._account_id and b.subscription = a.subscription and b.moment = a.moment
         and b.id <> a.id and a.step = 2 and b.step = 2
    where cast((b.previous -> 'items') -> 'data' as text) = cast((a.object -> 'items') -> 'data' as text)
       or (b.previous ->> 'status') = a.status
), ranked as (
    select n.*, row_number() over (partition by n._account_id, n.subscription, n.moment
                                   order by n.step desc, case when s.id is null then 0 else 1 end, n.id desc) as place
    from named as n left join superseded as s on s._account_id = n._account_id and s.id = n.id
)
select _account_id, subscription, moment, status, (object -> 'items') -> 'data' as items,
       coalesce(cast((object -> 'items') ->> 'has_more' as boolean), false) as is_cut,
       (object -> 'pause_collection') ->> 'behavior' as pause, object ->> 'canceled_at' as canceled_at,
       cast(coalesce(object -> 'discounts', object -> 'discount') as text) as discounts
from ranked where place = 1;

-- The items of each event.
create table build.heard_items as
select _account_id, subscription, moment, value ->> 'id' as item, (value -> 'price') ->> 'id' as price,
       cast(value ->> 'quantity' as bigint) as quantity
from (select _account_id, subscription, moment, stripe_metrics.json_items(items) as value from build.heard) as each_item;
