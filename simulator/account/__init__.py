"""The state of accounts: objects and their changes, events and their deliveries, and the clock."""
