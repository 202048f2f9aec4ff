"""The metrics of Stripe's tables: what builds them, and the SQL of `stripe_metrics`.

The SQL is the same text for both databases but for two files of helpers.
"""
