-- Columns that the view stripe_current.payment_link_line_items adds to the table's columns.

-- price_id: The price that the line is sold at.
price ->> 'id'

-- product_id: The product of the line's price.
price ->> 'product'
