"""The one door for intent and queries."""
