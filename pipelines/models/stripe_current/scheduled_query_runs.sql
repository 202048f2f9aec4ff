-- Columns that the view stripe_current.scheduled_query_runs has beside those of the table.

-- file_id: The file that holds the query's result.
file ->> 'id'
