"""The project: its settings, where it lies, what its files declare."""
