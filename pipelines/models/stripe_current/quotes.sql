-- Columns that the view stripe_current.quotes adds to the table's columns.

-- finalized_at: When the quote was finalized.
to_timestamp(cast(status_transitions ->> 'finalized_at' as double precision))

-- accepted_at: When the quote was accepted.
to_timestamp(cast(status_transitions ->> 'accepted_at' as double precision))

-- canceled_at: When the quote was canceled.
to_timestamp(cast(status_transitions ->> 'canceled_at' as double precision))
