"""What the commands share: arguments, exit codes, and what is said of a load, a sync or a check."""
