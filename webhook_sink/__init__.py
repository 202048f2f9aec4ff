"""Stripe's events into the same tables as the batch path's, in real time: `python -m webhook_sink`."""
