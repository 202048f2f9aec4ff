-- Columns that the view stripe_current.subscription_schedules adds to the table's columns.

-- current_phase_start: When the current phase began.
to_timestamp(cast(current_phase ->> 'start_date' as double precision))

-- current_phase_end: When the current phase ends.
to_timestamp(cast(current_phase ->> 'end_date' as double precision))
