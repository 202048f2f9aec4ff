-- Columns that the view stripe_current.invoice_line_items adds to the table's columns.

-- price_id: The price that the line is billed by.
(pricing -> 'price_details') ->> 'price'

-- product_id: The product of the line's price.
(pricing -> 'price_details') ->> 'product'

-- invoice_id: The invoice that the line belongs to.
invoice_line_items._parent_id

-- subscription_id: The subscription that the line bills.
coalesce(subscription, (parent -> 'subscription_item_details') ->> 'subscription',
         (parent -> 'invoice_item_details') ->> 'subscription')

-- subscription_item_id: The subscription item that the line bills.
coalesce((parent -> 'subscription_item_details') ->> 'subscription_item', {subscription_item})

-- invoice_item_id: The invoice item that the line bills.
coalesce((parent -> 'invoice_item_details') ->> 'invoice_item', (parent -> 'subscription_item_details') ->> 'invoice_item',
         {invoice_item})

-- period_start: When the period that the line bills begins.
to_timestamp(cast(period ->> 'start' as double precision))

-- period_end: When the period that the line bills ends.
to_timestamp(cast(period ->> 'end' as double precision))
