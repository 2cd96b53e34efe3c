"""This module turns the schedules that users write into the text of the model."""

import re
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from ostinato.authoring.suggestions import did_you_mean
from ostinato.errors import InvalidArgument, Place

#: Schedules by name.
PRESETS = (
    "@once",
    "@continuous",
    "@hourly",
    "@daily",
    "@midnight",
    "@weekly",
    "@monthly",
    "@quarterly",
    "@yearly",
    "@annually",
)

#: Schedules that name no moments.
WITHOUT_TICKS = frozenset({"@once", "@continuous"})

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


def schedule_text(schedule: object, place: Place | None = None) -> str:
    """Return a schedule as the model keeps it.

    Args:
        schedule: A cron expression, a preset such as ``@daily``, a timedelta, ``every <seconds>``,
            or None.
        place: Where it stands.

    Raises:
        InvalidArgument: If it is none of these.
    """
    if schedule is None:
        return ""
    if isinstance(schedule, timedelta):
        return _every(schedule.total_seconds(), place)
    if not isinstance(schedule, str):
        message = f"schedule {schedule!r} is neither a cron expression, a preset nor a timedelta"
        raise InvalidArgument(message, place=place)
    text = " ".join(schedule.split())
    if text.startswith("every "):
        try:
            seconds = float(text.removeprefix("every "))
        except ValueError:
            raise InvalidArgument(
                f"schedule {schedule!r} is no interval", place=place, hint="write 'every <seconds>'"
            ) from None
        return _every(seconds, place)
    if text.startswith("@"):
        if text not in PRESETS:
            hint = did_you_mean(text, PRESETS) or f"presets are {', '.join(PRESETS)}"
            raise InvalidArgument(f"schedule {schedule!r} is unknown", place=place, hint=hint)
        return text
    problem = cron_problem(text)
    if problem:
        message = f"schedule {schedule!r} is no cron expression: {problem}"
        raise InvalidArgument(message, place=place)
    return text


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


def _every(seconds: float, place: Place | None) -> str:
    if not 0 < seconds < float("inf"):
        message = f"schedule of {seconds:g} seconds never fires"
        raise InvalidArgument(message, place=place)
    return f"every {int(seconds) if seconds == int(seconds) else seconds}"


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
