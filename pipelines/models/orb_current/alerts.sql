-- Columns that the view orb_current.alerts adds to the table's columns.

-- customer_id: The customer whose balance is watched.
customer ->> 'id'

-- subscription_id: The subscription whose usage or costs are watched.
subscription ->> 'id'

-- plan_id: The plan whose subscriptions are watched.
plan ->> 'id'
