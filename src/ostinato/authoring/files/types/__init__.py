"""What a file is by its type."""
