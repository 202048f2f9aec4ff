"""The only place with SQL dialects: the merge, both databases, the stored schema."""
