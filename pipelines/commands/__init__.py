"""What the commands share: options, exit codes, and the reports on a load, a sync or a check."""
