-- Columns that the view stripe_current.reporting_report_runs adds to the table's columns.

-- file_id: The file that holds the report.
result ->> 'id'
