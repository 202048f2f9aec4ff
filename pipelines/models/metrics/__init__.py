"""The metrics of Stripe's tables: their build, and the SQL of `stripe_metrics`.

The SQL is the same text for both databases, except two files of helpers.
"""
