-- Columns that the view orb_current.invoices adds to the table's columns.

-- customer_id: The customer that the invoice is for.
customer ->> 'id'

-- subscription_id: The subscription that the invoice bills.
subscription ->> 'id'
