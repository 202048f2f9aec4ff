"""One request over HTTP: the client, its transport, the bounds of an answer, and messages for broken connections."""
