-- Columns that the view orb_current.invoice_line_items has beside those of the table.

-- price_id: The price by which the line was calculated.
price ->> 'id'
