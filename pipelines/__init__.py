"""What people schedule: settings, the guarded merge, loads with saved progress, and thin scripts over them."""
