"""What queries read and make."""
