"""Reads and checks the settings: from the environment, `.env` and `.dlt`."""
