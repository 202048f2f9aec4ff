"""Plain rows -> typed columns. Knows no HTTP and no database."""
