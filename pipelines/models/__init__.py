"""Answers: views and tables that SQL computes from the loaded tables. Knows no HTTP; only reads the loaded tables."""
