-- Columns that the view stripe_current.invoice_payments adds to the table's columns.

-- charge_id: The charge that paid the invoice, if it was paid by a charge alone.
payment ->> 'charge'

-- payment_intent_id: The payment intent that paid the invoice.
payment ->> 'payment_intent'

-- paid_at: When the payment succeeded.
to_timestamp(cast(status_transitions ->> 'paid_at' as double precision))

-- canceled_at: When the payment was canceled.
to_timestamp(cast(status_transitions ->> 'canceled_at' as double precision))
