"""This module executes steps of flows in children that execute nothing else."""

import selectors
from collections.abc import Sequence

from ostinato.executors.process import ProcessExecutor
from ostinato.runtime.messages import AttemptSpec, Report, RunInfo


class StepChildren:
    """The part of a process executor that the steps of flows are dispatched to.

    It has a credit of its own, so that steps never wait until the bodies that wait for them
    have let go of a child. Their reports come through the process executor.

    Args:
        processes: Forks the children and reads what they say.
    """

    def __init__(self, processes: ProcessExecutor) -> None:
        self._processes = processes

    def credits(self) -> int:
        """Return how many steps it takes at this moment."""
        return self._processes.step_credits()

    def start(self, attempts: Sequence[AttemptSpec], run: RunInfo) -> None:
        """Begin attempts of steps."""
        self._processes.start(attempts, run)

    def cancel(self, token: int, reason: str) -> None:
        """Stop an attempt, gently first."""
        self._processes.cancel(token, reason)

    def register(self, selector: selectors.BaseSelector) -> None:
        """Register nothing: the process executor does."""

    def poll(self) -> list[Report]:
        """Return nothing: the process executor reports."""
        return []

    def has_work(self) -> bool:
        """Whether reports wait; never."""
        return False

    def next_check_s(self) -> float | None:
        """Return None: the process executor looks after all children."""
        return None

    def close(self) -> None:
        """Do nothing: the process executor ends all children."""
