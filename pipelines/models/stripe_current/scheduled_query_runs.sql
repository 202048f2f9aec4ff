-- Columns that the view stripe_current.scheduled_query_runs adds to the table's columns.

-- file_id: The file that holds the query's result.
file ->> 'id'
