-- Columns that the view stripe_current.subscription_items adds to the table's columns.

-- price_id: The price that the item is billed by.
price ->> 'id'

-- product_id: The product of the item's price.
price ->> 'product'

-- interval: The unit of the price's billing period: day, week, month or year.
(price -> 'recurring') ->> 'interval'

-- interval_count: The number of units in the price's billing period.
cast((price -> 'recurring') ->> 'interval_count' as integer)
