"""Many requests at once, within an account's limits. Knows no provider and no column."""
