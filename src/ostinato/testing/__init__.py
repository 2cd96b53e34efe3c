"""Run flows in memory, with resources replaced and under virtual time."""

from ostinato.testing.memory import MemoryRun, run

__all__ = ["MemoryRun", "run"]
