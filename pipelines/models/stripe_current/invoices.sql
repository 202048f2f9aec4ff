-- Columns that the view stripe_current.invoices adds to the table's columns.

-- subscription_id: The subscription that the invoice bills.
coalesce((parent -> 'subscription_details') ->> 'subscription', {subscription})

-- quote_id: The quote that the invoice is for.
(parent -> 'quote_details') ->> 'quote'

-- finalized_at: When the invoice was finalized.
to_timestamp(cast(status_transitions ->> 'finalized_at' as double precision))

-- paid_at: When the invoice was paid.
to_timestamp(cast(status_transitions ->> 'paid_at' as double precision))

-- voided_at: When the invoice was voided.
to_timestamp(cast(status_transitions ->> 'voided_at' as double precision))

-- marked_uncollectible_at: When the invoice was marked as uncollectible.
to_timestamp(cast(status_transitions ->> 'marked_uncollectible_at' as double precision))
