"""The content of the status page, and its HTML. Knows no HTTP server."""
