-- Columns that the view stripe_current.issuing_cards has beside those of the table.

-- cardholder_id: The cardholder that the card was issued to.
cardholder ->> 'id'
