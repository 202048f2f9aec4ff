"""A command's process, log, output, and the progress that it shows."""
