"""From an event to its commit: the ledger, the tables, one transaction."""
