"""This package tells tracing systems what was executed."""
