"""Which keys headers and METADATA may have, and of which types."""
