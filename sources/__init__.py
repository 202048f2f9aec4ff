"""Where data comes from. Knows no database."""
