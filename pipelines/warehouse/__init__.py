"""The only SQL dialects: the merge, both databases, the stored schema."""
