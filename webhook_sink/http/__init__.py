"""The HTTP server around the sink."""
