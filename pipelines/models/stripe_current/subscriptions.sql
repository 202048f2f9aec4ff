-- Columns that the view stripe_current.subscriptions adds to the table's columns.

-- current_period_start: When the current period began, the latest of the subscription's items.
coalesce(
    (select max(item.current_period_start) from stripe.subscription_items as item
     where item._parent_id = subscriptions.id and item._account_id = subscriptions._account_id
       and item._deleted_at is null),
    to_timestamp(cast({current_period_start} as double precision)))

-- current_period_end: When the current period ends, the earliest of the subscription's items.
coalesce(
    (select min(item.current_period_end) from stripe.subscription_items as item
     where item._parent_id = subscriptions.id and item._account_id = subscriptions._account_id
       and item._deleted_at is null),
    to_timestamp(cast({current_period_end} as double precision)))

-- collection_resumes_at: When the collection of payments resumes, if it is paused.
to_timestamp(cast(pause_collection ->> 'resumes_at' as double precision))
