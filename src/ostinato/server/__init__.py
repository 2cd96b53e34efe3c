"""This package serves HTTP: health, metrics, and an interface for programs."""
