-- Columns that the view orb_current.credit_notes has beside those of the table.

-- customer_id: The customer that the credit note is for.
customer ->> 'id'
