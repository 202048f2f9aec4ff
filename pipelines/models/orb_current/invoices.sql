-- Columns that the view orb_current.invoices has beside those of the table.

-- customer_id: The customer that the invoice is for.
customer ->> 'id'

-- subscription_id: The subscription that the invoice bills.
subscription ->> 'id'
