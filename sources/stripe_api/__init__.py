"""Everything about Stripe's API; nothing about databases."""
