"""Where attempts run: inline, in threads, in child processes."""
