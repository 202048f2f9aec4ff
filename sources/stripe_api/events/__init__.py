"""Stripe's events: reading them, and how far they have been applied. Knows no database."""
