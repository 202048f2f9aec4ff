"""Our webhook endpoints in Stripe, and their signing secrets in the database."""
