"""What the status page shows and how it looks. Knows no HTTP server."""
