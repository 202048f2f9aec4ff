"""The SQL of `stripe_metrics`, the same text for both databases but for two files of helpers."""
