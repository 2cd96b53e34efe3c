"""This module checks what schedules are made of: cron expressions, rules, zones, moments."""

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from ostinato.authoring.suggestions import did_you_mean
from ostinato.errors import InvalidArgument, Place
from ostinato.model.schedule import IntervalPart, moment_text

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")

#: The fields of a cron expression: name, smallest and largest value, names of values.
_FIELDS: tuple[tuple[str, int, int, dict[str, int]], ...] = (
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("day", 1, 31, {}),
    ("month", 1, 12, {name: number for number, name in enumerate(_MONTHS, 1)}),
    ("weekday", 0, 7, dict(zip(_WEEKDAYS, range(7), strict=True))),
)
_PART = re.compile(r"(\*|\w+)(?:-(\w+))?(?:/(\w+))?")
_LAST_DAYS = re.compile(r"L|LW|L-\d+|\d+W", re.IGNORECASE)
_NTH_WEEKDAY = re.compile(r"(\w+)(?:#[1-5]|L)", re.IGNORECASE)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def cron_problem(expression: str) -> str:
    """Return what is wrong with a cron expression of five fields, or nothing.

    >>> cron_problem("61 * * * *")
    'minute 61 is not from 0 to 59'
    """
    fields = expression.split()
    if len(fields) != len(_FIELDS):
        wanted = " ".join(field[0] for field in _FIELDS)
        return f"it has {len(fields)} fields instead of 5: {wanted}"
    for text, (name, low, high, names) in zip(fields, _FIELDS, strict=True):
        for part in text.split(","):
            problem = _part_problem(part, name, low, high, names)
            if problem:
                return problem
    return ""


def _part_problem(part: str, name: str, low: int, high: int, names: dict[str, int]) -> str:
    if name == "day" and _LAST_DAYS.fullmatch(part):
        return ""
    nth = _NTH_WEEKDAY.fullmatch(part) if name == "weekday" else None
    match = _PART.fullmatch(nth[1] if nth else part)
    if match is None:
        return f"{name} {part!r} cannot be read"
    first, last, step = match.groups()
    bounds = [] if first == "*" else [first, *([last] if last else [])]
    if first == "*" and last:
        return f"{name} {part!r} cannot be read"
    values = []
    for bound in bounds:
        value = names.get(bound.upper(), int(bound) if bound.isdecimal() else None)
        if value is None:
            guess = did_you_mean(bound.upper(), names)
            return f"{name} {bound!r} is no number{f' ({guess})' if guess else ''}"
        if not low <= value <= high:
            return f"{name} {bound} is not from {low} to {high}"
        values.append(value)
    # A week may go over its end: FRI-MON.
    if len(values) == 2 and values[0] > values[1] and name != "weekday":
        return f"{name} {part!r} ends before it begins"
    if step is not None and not (step.isdecimal() and int(step) > 0):
        return f"the step of {name} {part!r} is no number above 0"
    return ""


def rule_problem(lines: Sequence[str]) -> str:
    """Return what is wrong with the lines of a recurrence rule, or nothing."""
    from dateutil.rrule import rrulestr  # noqa: PLC0415 - seldom needed, and takes 10 ms

    named = [line if ":" in line else f"RRULE:{line}" for line in lines]
    # The ends of zones say nothing of whether it can be read.
    plain = [re.sub(r";TZID=[^:;]+", "", line) for line in named]
    try:
        rrulestr("\n".join(re.sub(r"(\dT\d{6})Z", r"\1", line) for line in plain), forceset=True)
    except (ValueError, TypeError, AttributeError, LookupError, OverflowError) as error:
        return str(error)
    return ""


def every(seconds: float, place: Place | None = None) -> IntervalPart:
    """Return an interval.

    Raises:
        InvalidArgument: If it is not above 0.
    """
    if not 0 < seconds < 1e9:
        message = f"schedule of {seconds:g} seconds never fires"
        raise InvalidArgument(message, place=place)
    return IntervalPart(max(round(seconds * 1_000_000), 1))


def check_timezone(name: str, place: Place | None = None) -> None:
    """Refuse a time zone that the system does not know.

    Raises:
        InvalidArgument: If there is none of that name.
    """
    try:
        ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        message = f"there is no time zone {name!r}"
        raise InvalidArgument(message, place=place, hint="such as Europe/Berlin") from None


def zone_name_of(*moments: object) -> str:
    """Return the IANA name of the first time zone that the moments carry, or nothing."""
    for moment in moments:
        zone = moment.tzinfo if isinstance(moment, datetime) else None
        name = getattr(zone, "key", None) or getattr(zone, "name", None)
        if isinstance(name, str):
            return name
    return ""


def moment_us(moment: object, name: str, timezone: str, place: Place | None = None) -> int | None:
    """Return a moment in microseconds since the epoch.

    Args:
        moment: A datetime, a date, ISO 8601 text, or None.
        name: Of the argument, for the message.
        timezone: In which a moment without one is read; empty for UTC.
        place: Where it stands.

    Raises:
        InvalidArgument: If it is none of these.
    """
    if moment is None:
        return None
    read: object = moment
    if isinstance(moment, str):
        try:
            read = datetime.fromisoformat(moment)
        except ValueError:
            message = f"{name} {moment!r} is no date"
            raise InvalidArgument(message, place=place, hint="such as 2025-01-31") from None
    elif isinstance(moment, date) and not isinstance(moment, datetime):
        read = datetime(moment.year, moment.month, moment.day)  # noqa: DTZ001 - the zone follows
    if not isinstance(read, datetime):
        raise InvalidArgument(f"{name} {moment!r} is no date", place=place)
    if read.tzinfo is None:
        read = read.replace(tzinfo=ZoneInfo(timezone) if timezone else UTC)
    return (read - _EPOCH) // timedelta(microseconds=1)


def check_bounds(start_us: int | None, end_us: int | None, place: Place | None = None) -> None:
    """Refuse an end before the start.

    Raises:
        InvalidArgument: There is no moment between them.
    """
    if start_us is not None and end_us is not None and end_us < start_us:
        message = f"end_date {moment_text(end_us)} is before start_date {moment_text(start_us)}"
        raise InvalidArgument(message, place=place, hint="nothing would ever be scheduled")


def reading_of(said: str, place: Place | None = None) -> str:
    """Return how a flow reads its schedule, as the model keeps it.

    Raises:
        InvalidArgument: There is no such reading.
    """
    if said in ("", "tick"):
        return ""
    if said != "interval_start":
        hint = did_you_mean(said, ("tick", "interval_start")) or "it is 'tick' or 'interval_start'"
        message = f"there is no schedule_reading {said!r}"
        raise InvalidArgument(message, place=place, hint=hint)
    return said
