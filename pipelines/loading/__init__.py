"""Runs: packages of tables, their load, and saved progress."""
