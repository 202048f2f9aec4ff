"""The consistency check: lists everything again, compares it with the tables, and repairs them."""
