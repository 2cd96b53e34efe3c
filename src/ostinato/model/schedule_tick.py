"""This module is what is remembered of schedules: how each stands, and what its ticks did."""

from enum import StrEnum
from typing import NamedTuple

from msgspec import Struct


class TickOutcome(StrEnum):
    """What became of a tick."""

    #: It has made a run.
    FIRED = "fired"
    #: It has made none, for the reason that is recorded.
    SKIPPED = "skipped"
    #: No run could be made of it.
    FAILED = "failed"


class ScheduleRow(NamedTuple):
    """How the schedule of a flow stands.

    Attributes:
        name: Of the flow.
        schedule: As it is in force; empty while the flow is not there.
        is_paused: Whether its ticks make no runs.
        changed_by: Who paused or resumed it last; empty if nobody did.
        since_us: Since when it is in force, or goes on after a pause. Without catch-up nothing
            before this is made up for.
        last_tick_us: Newest tick that was decided on; 0 for none.
        next_us: When it fires next; 0 for never.
        ticks: How many ticks were recorded.
    """

    name: str
    schedule: str = ""
    is_paused: bool = False
    changed_by: str = ""
    since_us: int = 0
    last_tick_us: int = 0
    next_us: int = 0
    ticks: int = 0


class ScheduleTickRow(NamedTuple):
    """One tick of a schedule.

    Attributes:
        name: Of the schedule.
        number: Which of its ticks it is; only the newest are kept.
        tick_us: The moment that the schedule names.
        at_us: When it was decided on.
        outcome: A ``TickOutcome``.
        run_id: Of the run that it made; 0 for none.
        reason: Why it made none, or what else there is to say.
    """

    name: str
    number: int
    tick_us: int
    at_us: int
    outcome: str
    run_id: int = 0
    reason: str = ""


class MomentsInput(Struct, frozen=True):
    """What a timetable of a user is asked.

    Attributes:
        after_us: For moments after this one.
        timezone: Of the flow; empty for UTC.
        now_us: The present.
        count: For at most so many.
        has_all: Whether all that lies before the present is wanted, and not only the newest.
        is_tick: Whether the moment after which they are is one of the timetable.
    """

    after_us: int
    timezone: str
    now_us: int
    count: int
    has_all: bool = False
    is_tick: bool = False
