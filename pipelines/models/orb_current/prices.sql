-- Columns that the view orb_current.prices has beside those of the table.

-- item_id: The item that is sold at the price.
item ->> 'id'
