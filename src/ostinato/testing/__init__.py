"""Run flows in memory, under virtual time, and render the fields of single tasks."""

from ostinato.testing.memory import MemoryRun, run
from ostinato.testing.rendering import render

__all__ = ["MemoryRun", "render", "run"]
