"""This module names what a backfill is and how far it has come."""

from enum import StrEnum


class Reprocess(StrEnum):
    """Which dates are run again that have been run before."""

    NONE = "none"
    FAILED = "failed"
    ALL = "all"


class BackfillState(StrEnum):
    """Where a backfill stands."""

    RUNNING = "running"
    PAUSED = "paused"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        """Whether nothing but a retry changes it any more."""
        return self not in LIVE


class DateState(StrEnum):
    """Where one date of a backfill stands; ``skipped`` was run before and is left alone."""

    WAITING = "waiting"
    ACTIVE = "active"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"


#: States of backfills that are not over.
LIVE = (BackfillState.RUNNING, BackfillState.PAUSED, BackfillState.CANCELLING)
