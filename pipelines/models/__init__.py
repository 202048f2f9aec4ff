"""Answers: views and tables that SQL makes of the loaded tables. They only read those, and know no HTTP."""
