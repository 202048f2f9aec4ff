"""Accounts as state: objects, every change to them, the events that tell of it, their deliveries, and the clock."""
