"""Orb's objects -> rows."""
