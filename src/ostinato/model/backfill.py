"""This module is what a backfill is, and how far it has come."""

from enum import StrEnum
from typing import NamedTuple


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


class BackfillDate(NamedTuple):
    """A logical date with its data interval, in microseconds since the epoch."""

    date_us: int
    interval_start_us: int
    interval_end_us: int


class BackfillRow(NamedTuple):
    """Runs for a range of dates; columns in the table's order.

    ``params`` is JSON, ``reprocess`` and ``state`` are what their enums say, ``ended_us`` is 0
    while it has not ended. A new one has no ``id``, and its moments come from the store.
    """

    id: int
    project: str
    flow: str
    manifest_version: str
    params: bytes
    reprocess: str
    max_active: int
    state: str
    by: str
    created_us: int = 0
    ended_us: int = 0


class BackfillDateRow(NamedTuple):
    """A date of a backfill; columns in the table's order.

    ``run_id`` is the run that was made for it, or of one that was skipped the run that was
    there; 0 for none. ``tries`` counts how often it was retried.
    """

    backfill_id: int
    position: int
    date_us: int
    interval_start_us: int
    interval_end_us: int
    state: str
    run_id: int
    tries: int


class Settled(NamedTuple):
    """What becomes of a date: it goes from one state to another.

    Where it is in another state by then, it stays so.
    """

    position: int
    before: DateState
    after: DateState
    run_id: int


class DatedRun(NamedTuple):
    """The newest run of a flow at a logical date; ``logical_key`` is empty for none."""

    id: int
    number: int
    state: int
    logical_key: str
