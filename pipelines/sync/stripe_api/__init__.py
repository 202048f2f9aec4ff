"""The scheduled run of Stripe: events first, then the lists whose changes events do not report."""
