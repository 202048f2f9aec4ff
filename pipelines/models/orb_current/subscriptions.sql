-- Columns that the view orb_current.subscriptions adds to the table's columns.

-- customer_id: The customer that has the subscription.
customer ->> 'id'

-- plan_id: The plan that is subscribed to.
plan ->> 'id'
