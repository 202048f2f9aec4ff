-- Columns that the view stripe_current.reporting_report_runs has beside those of the table.

-- file_id: The file that holds the report.
result ->> 'id'
