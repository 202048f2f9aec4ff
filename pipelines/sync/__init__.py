"""The hourly run: first the events, then the lists whose changes events do not report."""
