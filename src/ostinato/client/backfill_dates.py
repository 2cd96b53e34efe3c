"""This module tells which dates a backfill has."""

from datetime import date, datetime, timedelta
from typing import NamedTuple

from ostinato.client.parameters import parse_moment_us
from ostinato.engine.timetable import check_schedule, data_interval, next_tick_us
from ostinato.errors import InvalidArgument, UsageError
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

#: Schedules that name no moments.
_WITHOUT_DATES = frozenset({"", "@once", "@continuous"})


class BackfillDate(NamedTuple):
    """A logical date with its data interval, in microseconds since the epoch."""

    date_us: int
    interval_start_us: int
    interval_end_us: int


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
    """Return the moments of a flow's schedule in a range, ascending.

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
    schedule = _EVERY.get(every, every) or flow.schedule
    if schedule in _WITHOUT_DATES:
        message = f"the schedule of flow {flow.name!r} names no moments"
        raise UsageError(message, hint="say which are meant, such as --every day")
    if every:
        try:
            check_schedule(schedule)
        except InvalidArgument as error:
            hint = f"it is one of {', '.join(_EVERY)}, or a cron expression"
            raise UsageError(f"--every: {error.message}", hint=hint) from None
    found: list[BackfillDate] = []
    tick_us = next_tick_us(schedule, timezone, start_us - 1)
    while tick_us < end_us:
        found.append(BackfillDate(tick_us, *data_interval(schedule, timezone, tick_us)))
        if len(found) > MAX_DATES:
            raise UsageError(
                f"these are more than {MAX_DATES:,} dates", hint="take a shorter range"
            )
        tick_us = next_tick_us(schedule, timezone, tick_us)
    if not found:
        nearest = datetime.fromtimestamp(tick_us / 1e6).astimezone().isoformat()
        message = f"the schedule {schedule!r} has no moments in this range"
        raise UsageError(message, hint=f"the next one is {nearest}")
    return found
