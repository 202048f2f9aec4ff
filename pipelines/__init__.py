"""What people schedule: settings, the guarded merge, loads with saved progress, and the thin scripts that start
them."""
