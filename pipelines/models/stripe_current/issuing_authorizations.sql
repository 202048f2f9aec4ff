-- Columns that the view stripe_current.issuing_authorizations has beside those of the table.

-- card_id: The card that the authorization was made with.
card ->> 'id'
