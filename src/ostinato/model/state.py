"""This module names the states of runs and task runs."""

from enum import IntEnum


class TaskRunState(IntEnum):
    """Where a task run stands; the numbers are what the store keeps."""

    PENDING = 0
    QUEUED = 1
    RUNNING = 2
    RETRYING = 3
    DEFERRED = 4
    SUCCEEDED = 5
    FAILED = 6
    SKIPPED = 7
    UPSTREAM_FAILED = 8
    CANCELLED = 9
    REMOVED = 10

    @property
    def label(self) -> str:
        """The state as users write it, such as ``upstream_failed``."""
        return self.name.lower()

    @property
    def is_terminal(self) -> bool:
        """Whether nothing but a clear changes it any more."""
        return self >= TaskRunState.SUCCEEDED


class RunState(IntEnum):
    """Where a run stands; the numbers are what the store keeps."""

    QUEUED = 0
    RUNNING = 1
    PAUSED = 2
    CANCELLING = 3
    SUCCEEDED = 4
    FAILED = 5
    CANCELLED = 6

    @property
    def label(self) -> str:
        """The state as users write it, such as ``succeeded``."""
        return self.name.lower()

    @property
    def is_terminal(self) -> bool:
        """Whether nothing but a clear changes it any more."""
        return self >= RunState.SUCCEEDED
