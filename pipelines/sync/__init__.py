"""The hourly run: events first, then the lists for what they do not tell."""
