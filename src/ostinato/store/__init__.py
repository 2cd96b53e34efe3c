"""Durable state behind one narrow interface."""
