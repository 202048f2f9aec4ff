-- Columns that the view orb_current.subscription_price_intervals has beside those of the table.

-- price_id: The price that applies in the interval.
price ->> 'id'
