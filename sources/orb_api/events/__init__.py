"""Orb's log of events."""
