"""Which page of a list of Orb's to request next, and which objects to pass on."""
