-- Columns that the view stripe_current.events adds to the table's columns.

-- subscription_id: The subscription that the event is about, directly or through its discount.
case when type like 'customer.subscription.%' then (data -> 'object') ->> 'id'
     when type like 'customer.discount.%' then (data -> 'object') ->> 'subscription' end
