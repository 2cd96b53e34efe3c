"""Run flows in memory, under virtual time, and render the fields of single tasks."""

from ostinato.testing.memory import MemoryRun, run
from ostinato.testing.rendering import render
from ostinato.testing.scheduling import Moment, moments, run_schedule

__all__ = ["MemoryRun", "Moment", "moments", "render", "run", "run_schedule"]
