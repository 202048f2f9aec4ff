"""Postgres: connections, their strings and session properties, rights, locks."""
