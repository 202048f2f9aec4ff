-- Columns that the view orb_current.subscription_price_intervals adds to the table's columns.

-- price_id: The price that applies in the interval.
price ->> 'id'
