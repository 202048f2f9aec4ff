-- Columns that the view stripe_current.issuing_authorizations adds to the table's columns.

-- card_id: The card that the authorization was made with.
card ->> 'id'
