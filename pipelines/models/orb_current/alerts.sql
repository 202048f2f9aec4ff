-- Columns that the view orb_current.alerts has beside those of the table.

-- customer_id: The customer whose balance is watched.
customer ->> 'id'

-- subscription_id: The subscription whose usage or costs are watched.
subscription ->> 'id'

-- plan_id: The plan whose subscriptions are watched.
plan ->> 'id'
