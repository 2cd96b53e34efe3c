"""This module holds readings of time, chance and environment that a replay repeats."""

from ostinato.authoring.recorded_reads import env, now, random, uuid

__all__ = ["env", "now", "random", "uuid"]
