"""This module tells which data a moment of a schedule stands for.

A schedule fires at *ticks*. The run of a tick has it as its logical date, and its data
interval ends there: from the tick before up to, not including, the tick itself.
"""

from datetime import UTC, datetime, timedelta, tzinfo

from ostinato.errors import InvalidArgument

#: What the presets mean as cron expressions.
PRESETS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@quarterly": "0 0 1 1,4,7,10 *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}

#: Presets without ticks of their own.
_WITHOUT_TICKS = frozenset({"", "@once", "@continuous"})

_EVERY = "every "
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

#: More than any clock was ever set back at once: so far ahead a search for a tick begins
#: where local times repeat.
_REPEATED = timedelta(hours=3)


def data_interval(schedule: str, timezone: str, logical_us: int) -> tuple[int, int]:
    """Return start and end of the data that a run covers, half open.

    It is the interval of the latest tick at or before the logical date. A plain interval
    (``every <seconds>``) ends at the logical date itself, wherever its ticks lie. Without a
    schedule there is no interval: both ends are the logical date.

    Args:
        schedule: Cron expression, preset, ``every <seconds>``, or empty for none.
        timezone: IANA name of the zone in which the schedule is read; empty for UTC.
        logical_us: Logical date in microseconds since the epoch.

    Raises:
        InvalidArgument: The schedule or the zone cannot be read.

    >>> data_interval("every 60", "UTC", 300_000_000)
    (240000000, 300000000)
    """
    if schedule in _WITHOUT_TICKS:
        return logical_us, logical_us
    if schedule.startswith(_EVERY):
        return logical_us - round(_seconds(schedule) * 1_000_000), logical_us
    zone = zone_of(timezone)
    end_us = _latest_tick_us(schedule, zone, logical_us)
    return _latest_tick_us(schedule, zone, end_us - 1), end_us


def next_tick_us(schedule: str, timezone: str, after_us: int) -> int:
    """Return the first tick of a schedule after a moment; an interval ticks at its multiples.

    Args:
        schedule: Cron expression, preset with ticks, or ``every <seconds>``.
        timezone: IANA name of the zone in which the schedule is read; empty for UTC.
        after_us: The moment in microseconds since the epoch.

    Raises:
        InvalidArgument: The schedule or the zone cannot be read, or it has no ticks.

    >>> next_tick_us("every 60", "UTC", 300_000_000), next_tick_us("@hourly", "", 1)
    (360000000, 3600000000)
    """
    if schedule in _WITHOUT_TICKS:
        hint = "give a cron expression, a preset such as @daily, or an interval"
        raise InvalidArgument(f"the schedule {schedule!r} has no moments of its own", hint=hint)
    if schedule.startswith(_EVERY):
        every_us = max(round(_seconds(schedule) * 1_000_000), 1)
        return (after_us // every_us + 1) * every_us
    zone = zone_of(timezone)
    # Says what is wrong with it, too.
    latest_us = _latest_tick_us(schedule, zone, after_us)
    from cronsim import CronSim  # noqa: PLC0415 - as below

    moment = _EPOCH + timedelta(microseconds=latest_us)
    start = moment - _REPEATED if _is_near_change(zone, moment) else moment
    for tick in CronSim(PRESETS.get(schedule, schedule), start.astimezone(zone)):
        tick_us = (tick - _EPOCH) // timedelta(microseconds=1)
        if tick_us > after_us:
            return tick_us
    raise InvalidArgument(f"the schedule {schedule!r} never fires")  # pragma: no cover - as below


def check_schedule(schedule: str) -> None:
    """Refuse a schedule that cannot be read.

    Raises:
        InvalidArgument: It is no preset, cron expression or interval, or it never fires.
    """
    data_interval(schedule, "UTC", 0)


def zone_of(name: str) -> tzinfo:
    """Return a time zone by its IANA name; empty for UTC.

    Raises:
        InvalidArgument: There is no such zone.
    """
    if name in ("", "UTC"):
        return UTC
    from zoneinfo import ZoneInfo  # noqa: PLC0415 - most flows are in UTC, which needs none

    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        message = f"there is no time zone {name!r}"
        raise InvalidArgument(message, hint="such as Europe/Berlin") from None


def _seconds(schedule: str) -> float:
    try:
        seconds = float(schedule.removeprefix(_EVERY))
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise InvalidArgument(f"{schedule!r} is no schedule", hint="write 'every <seconds>'")
    return seconds


def _latest_tick_us(schedule: str, zone: tzinfo, at_us: int) -> int:
    """Return the latest tick of a cron expression at or before a moment."""
    # Loaded only for a flow with a cron schedule.
    from cronsim import CronSim, CronSimError  # noqa: PLC0415 - see above

    moment = _EPOCH + timedelta(microseconds=at_us)
    start = moment + timedelta(microseconds=1)
    if _is_near_change(zone, moment):
        # An expression with a fixed time is searched by local time, which is not monotonic
        # here: begin behind the repeated hour and pass over what is too late.
        start += _REPEATED
    if schedule.startswith("@") and schedule not in PRESETS:
        hint = f"presets are {', '.join(PRESETS)}"
        raise InvalidArgument(f"{schedule!r} is no schedule", hint=hint)
    expression = PRESETS.get(schedule, schedule)
    if len(expression.split()) != 5:
        hint = "a cron expression has 5 fields: minute hour day month weekday"
        raise InvalidArgument(f"{schedule!r} is no schedule", hint=hint)
    try:
        for tick in CronSim(expression, start.astimezone(zone), reverse=True):
            tick_us = (tick - _EPOCH) // timedelta(microseconds=1)
            if tick_us <= at_us:
                return tick_us
    except CronSimError as error:
        raise InvalidArgument(f"{schedule!r} is no schedule: {error}") from None
    # cronsim refuses what no month has; this is its limit of 50 years without a tick.
    raise InvalidArgument(f"the schedule {schedule!r} never fires")  # pragma: no cover - see above


def _is_near_change(zone: tzinfo, moment: datetime) -> bool:
    if zone is UTC:
        return False
    day = timedelta(days=1)
    offsets = {(moment + d).astimezone(zone).utcoffset() for d in (-day, timedelta(), day)}
    return len(offsets) > 1
