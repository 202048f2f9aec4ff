"""Paging Stripe's lists: what to ask next, and what of it to hand over."""
