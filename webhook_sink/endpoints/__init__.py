"""Our webhook endpoints at each provider, and their signing secrets in the database."""
