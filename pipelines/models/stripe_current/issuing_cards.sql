-- Columns that the view stripe_current.issuing_cards adds to the table's columns.

-- cardholder_id: The cardholder that the card was issued to.
cardholder ->> 'id'
