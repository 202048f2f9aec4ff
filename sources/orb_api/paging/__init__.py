"""Pages Orb's lists: which page to request next, and which objects to hand over."""
