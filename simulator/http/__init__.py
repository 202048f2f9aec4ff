"""The server, its faults and limits, and the controls that tests reach over HTTP."""
