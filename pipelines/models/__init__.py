"""Answers: tables and views that SQL makes of the loaded tables. They read tables only, and know no HTTP."""
