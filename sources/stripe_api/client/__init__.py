"""Requests to Stripe's API, with retries."""
