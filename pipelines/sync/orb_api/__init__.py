"""The scheduled run of Orb: the event log first, then the lists."""
