-- Columns that the view stripe_current.events has beside those of the table.

-- subscription_id: The subscription that the event tells of, by itself or by its discount.
case when type like 'customer.subscription.%' then (data -> 'object') ->> 'id'
     when type like 'customer.discount.%' then (data -> 'object') ->> 'subscription' end
