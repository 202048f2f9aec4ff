-- Columns that the view stripe_current.prices adds to the table's columns.

-- interval: The unit of the billing period: day, week, month or year; null for a price that is paid once.
recurring ->> 'interval'

-- interval_count: The number of units in the billing period.
cast(recurring ->> 'interval_count' as integer)

-- usage_type: How the quantity is determined: licensed (it is set) or metered (it is measured).
recurring ->> 'usage_type'
