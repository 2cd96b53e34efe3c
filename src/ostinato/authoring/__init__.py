"""The front ends that build a model: objects and decorators."""
