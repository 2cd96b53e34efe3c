"""This package measures other orchestrators beside Ostinato, doing the same work."""
