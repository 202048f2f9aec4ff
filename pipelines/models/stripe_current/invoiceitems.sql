-- Columns that the view stripe_current.invoiceitems adds to the table's columns.

-- price_id: The price that the invoice item is billed by.
(pricing -> 'price_details') ->> 'price'

-- product_id: The product of the invoice item's price.
(pricing -> 'price_details') ->> 'product'

-- subscription_id: The subscription that the invoice item belongs to.
coalesce((parent -> 'subscription_details') ->> 'subscription', {subscription})

-- subscription_item_id: The subscription item that the invoice item belongs to.
coalesce((parent -> 'subscription_details') ->> 'subscription_item', {subscription_item})

-- period_start: When the period of the invoice item begins.
to_timestamp(cast(period ->> 'start' as double precision))

-- period_end: When the period of the invoice item ends.
to_timestamp(cast(period ->> 'end' as double precision))
