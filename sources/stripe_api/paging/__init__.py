"""Pages Stripe's lists: which page to request next, and which objects to hand over."""
