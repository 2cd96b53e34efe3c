"""What waits for what in a folder."""
