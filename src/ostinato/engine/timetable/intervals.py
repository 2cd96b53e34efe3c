"""This module tells which data a moment of a schedule stands for.

A schedule fires at *ticks*. The run of a tick has it as its logical date, and its data
interval ends there: from the tick before up to, not including, the tick itself.
"""

from ostinato.engine.timetable.reading import ticks_of
from ostinato.engine.timetable.zones import zone_of
from ostinato.errors import InvalidArgument
from ostinato.model.schedule import WITHOUT_TICKS, IntervalPart, is_custom, parts_of


def data_interval(schedule: str, timezone: str, logical_us: int) -> tuple[int, int]:
    """Return start and end of the data that a run covers, half open.

    It is the interval of the latest tick at or before the logical date. A plain interval
    (``every <seconds>``) ends at the logical date itself, wherever its ticks lie. Where no tick
    is known there is no interval: both ends are the logical date.

    Args:
        schedule: As ``ostinato.model.schedule`` writes it; empty for none.
        timezone: IANA name of the zone in which the schedule is read; empty for UTC.
        logical_us: Logical date in microseconds since the epoch.

    Raises:
        InvalidArgument: The schedule or the zone cannot be read.

    >>> data_interval("every 60", "UTC", 300_000_000)
    (240000000, 300000000)
    """
    if schedule in WITHOUT_TICKS or is_custom(schedule):
        return logical_us, logical_us
    if schedule.startswith("every "):
        parts = parts_of(schedule)
        if len(parts) == 1 and isinstance(parts[0], IntervalPart):
            return logical_us - parts[0].every_us, logical_us
    ticks = ticks_of(schedule, timezone)
    end_us = ticks.latest_us(logical_us)
    if end_us is None:
        return logical_us, logical_us
    start_us = ticks.latest_us(end_us - 1)
    return end_us if start_us is None else start_us, end_us


def next_tick_us(schedule: str, timezone: str, after_us: int) -> int:
    """Return the first tick of a schedule after a moment; an interval ticks at its multiples.

    Args:
        schedule: As ``ostinato.model.schedule`` writes it, with moments of its own.
        timezone: IANA name of the zone in which the schedule is read; empty for UTC.
        after_us: The moment in microseconds since the epoch.

    Raises:
        InvalidArgument: The schedule or the zone cannot be read, or it has no ticks.

    >>> next_tick_us("every 60", "UTC", 300_000_000), next_tick_us("@hourly", "", 1)
    (360000000, 3600000000)
    """
    found = ticks_of(schedule, timezone).next_us(after_us)
    if found is None:
        raise InvalidArgument(f"the schedule {schedule!r} never fires again")
    return found


def check_schedule(schedule: str, timezone: str = "") -> None:
    """Refuse a schedule that cannot be read.

    Args:
        schedule: As ``ostinato.model.schedule`` writes it.
        timezone: IANA name of the zone in which the schedule is read; empty for UTC.

    Raises:
        InvalidArgument: It is no preset, cron expression, interval, rule or list of dates, or
            it never fires.
    """
    zone_of(timezone)
    if schedule in WITHOUT_TICKS or is_custom(schedule):
        return
    ticks = ticks_of(schedule, timezone)
    if ticks.next_us(0) is None and ticks.latest_us(0) is None:
        raise InvalidArgument(f"the schedule {schedule!r} never fires")
