"""The consistency check: everything listed again, compared, and repaired."""
