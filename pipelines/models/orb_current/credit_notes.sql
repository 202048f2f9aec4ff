-- Columns that the view orb_current.credit_notes adds to the table's columns.

-- customer_id: The customer that the credit note is for.
customer ->> 'id'
