"""Stripe's objects -> rows, events -> changes, and objects retrieved again."""
