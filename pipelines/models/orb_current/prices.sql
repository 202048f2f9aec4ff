-- Columns that the view orb_current.prices adds to the table's columns.

-- item_id: The item that is sold at the price.
item ->> 'id'
