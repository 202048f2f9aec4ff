"""Everything about Orb's API. Knows no database. See README.md."""
