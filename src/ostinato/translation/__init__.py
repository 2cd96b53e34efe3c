"""This package writes flows down in the words of other orchestrators."""
