"""A command and its terminal: the process, its log, what it prints, and the progress it shows."""
