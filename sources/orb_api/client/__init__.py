"""Requests to Orb's API, with retries."""
