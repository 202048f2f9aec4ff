"""Stripe over HTTP: one request after the other, as often as it takes."""
