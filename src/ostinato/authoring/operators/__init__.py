"""The classes whose instances are tasks."""
