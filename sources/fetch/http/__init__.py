"""One answer over HTTP: the client, its transport, the bounds of an answer, and what a broken connection is called."""
