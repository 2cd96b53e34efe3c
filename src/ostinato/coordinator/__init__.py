"""Owns runs: ownership, the loop, group commit, dispatch, recovery."""
