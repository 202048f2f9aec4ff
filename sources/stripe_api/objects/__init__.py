"""Stripe's objects, and what becomes of them: rows, changes, objects read again."""
