"""This module tells which dates a backfill has."""

from datetime import date, datetime, timedelta

from msgspec.structs import replace

from ostinato.client.parameters import parse_moment_us
from ostinato.engine.occurrences import FlowTimetable, has_ticks
from ostinato.engine.timetable import zone_of
from ostinato.errors import InvalidArgument, UsageError
from ostinato.model.backfill import BackfillDate
from ostinato.model.flow import FlowDefinition

#: More dates than this are a mistake: every minute of two months.
MAX_DATES = 100_000

#: What ``every`` may say, as schedules; anything else is a schedule itself.
_EVERY = {
    "hour": "@hourly",
    "day": "@daily",
    "week": "@weekly",
    "month": "@monthly",
    "quarter": "@quarterly",
    "year": "@yearly",
}


def parse_range_us(first: str, last: str, timezone: str) -> tuple[int, int]:
    """Return the range that two texts mean, half open.

    Args:
        first: A date or a moment.
        last: The same; a date is meant with all its day.
        timezone: Zone of what names none; empty for UTC.

    Raises:
        UsageError: One is no date, or the range ends before it begins.
    """
    start_us = parse_moment_us(first, timezone)
    try:
        day = date.fromisoformat(last.strip())
    except ValueError:
        moment_us = parse_moment_us(last, timezone)
        end_us = None if moment_us is None else moment_us + 1
    else:
        end_us = parse_moment_us(day + timedelta(days=1), timezone)
    assert start_us is not None
    assert end_us is not None
    if end_us <= start_us:
        raise UsageError(f"{first} to {last} ends before it begins")
    return start_us, end_us


def backfill_dates(
    flow: FlowDefinition, timezone: str, start_us: int, end_us: int, *, every: str = ""
) -> list[BackfillDate]:
    """Return the logical dates of a flow's schedule in a range, ascending.

    They are those that its scheduled runs have, between the flow's start and end.

    Args:
        flow: What is to be run.
        timezone: Zone of the schedule.
        start_us: First moment of the range.
        end_us: The moment behind it.
        every: ``hour``, ``day``, ``week``, ``month``, ``quarter``, ``year`` or a schedule, in
            place of the flow's own.

    Raises:
        UsageError: The flow has no moments, there are none in the range, or too many.
    """
    own = _EVERY.get(every, every)
    if own:
        # Its start and end are those of the schedule that it stands for.
        flow = replace(flow, schedule=own, start_at_us=None, end_at_us=None)
    if not has_ticks(flow.schedule):
        message = f"the schedule of flow {flow.name!r} names no moments"
        raise UsageError(message, hint="say which are meant, such as --every day")
    try:
        timetable = FlowTimetable(flow, timezone)
    except InvalidArgument as error:
        if not own:
            raise
        hint = f"it is one of {', '.join(_EVERY)}, or a cron expression"
        raise UsageError(f"--every: {error.message}", hint=hint) from None
    found: list[BackfillDate] = []
    for each in timetable.for_dates(start_us, end_us - 1):
        found.append(BackfillDate(each.logical_us, each.start_us, each.end_us))
        if len(found) > MAX_DATES:
            message = f"these are more than {MAX_DATES:,} dates"
            raise UsageError(message, hint="take a shorter range")
    if not found:
        message = f"the schedule {flow.schedule!r} has no moments in this range"
        raise UsageError(message, hint=_nearest(timetable, end_us, timezone))
    return found


def _nearest(timetable: FlowTimetable, end_us: int, timezone: str) -> str:
    later = timetable.next(end_us - 1)
    if later is None:
        return "there are none after it either"
    moment = datetime.fromtimestamp(later.logical_us / 1e6, zone_of(timezone))
    return f"the next one is {moment.isoformat()}"
