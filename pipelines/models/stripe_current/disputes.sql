-- Columns that the view stripe_current.disputes adds to the table's columns.

-- evidence_due_by: When the evidence has to be submitted.
to_timestamp(cast(evidence_details ->> 'due_by' as double precision))
