-- Columns that the view orb_current.invoice_line_items adds to the table's columns.

-- price_id: The price by which the line was calculated.
price ->> 'id'
