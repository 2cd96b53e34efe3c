"""Guests: hooks for systems outside, found by entry points and imported by nobody."""
