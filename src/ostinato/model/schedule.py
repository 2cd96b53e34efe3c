"""This module is the text of a schedule: what a flow's definition keeps, and its parts.

A schedule is one line that people can read and write:

- ``@daily`` and other presets, ``@once``, ``@continuous``;
- ``0 6 * * MON-FRI``: a cron expression of five fields, ``CRON_TZ=Europe/Berlin 0 6 * * *``
  in a zone of its own;
- ``every 300`` seconds, ``every 300 from 2025-01-01T00:00:00Z`` with a moment that it hits;
- ``DTSTART;TZID=Europe/Berlin:20250101T060000 RRULE:FREQ=WEEKLY;BYDAY=MO``: a recurrence rule;
- ``dates 2025-01-31T06:00:00Z 2025-02-28T06:00:00Z``: exactly these moments;
- ``timetable Workdays()``: what the code of a user says;
- several of them with `` | `` between.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from msgspec import Struct

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

#: Fires one time, as soon as the flow is known.
ONCE = "@once"

#: Fires whenever the run before has ended.
CONTINUOUS = "@continuous"

#: Schedules that name no moments.
WITHOUT_TICKS = frozenset({"", ONCE, CONTINUOUS})

#: Between the parts of a schedule.
BETWEEN = " | "

_EVERY = "every "
_FROM = " from "
_DATES = "dates "
_CUSTOM = "timetable "
_ZONE = "CRON_TZ="
_RULES = ("RRULE:", "DTSTART:", "DTSTART;", "RDATE", "EXRULE:", "EXDATE", "FREQ=")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)


class CronPart(Struct, frozen=True, tag="cron"):
    """Moments at which fields of local time have given values.

    Attributes:
        expression: Of five fields.
        timezone: IANA name of the zone in which it is read; empty for the flow's.
    """

    expression: str
    timezone: str = ""

    def __str__(self) -> str:
        return f"{_ZONE}{self.timezone} {self.expression}" if self.timezone else self.expression


class IntervalPart(Struct, frozen=True, tag="interval"):
    """Moments that are equally far from each other.

    Attributes:
        every_us: How far, in microseconds.
        anchor_us: One of them; None where the flow's start is one.
    """

    every_us: int
    anchor_us: int | None = None

    def __str__(self) -> str:
        seconds = f"{self.every_us / 1_000_000:.6f}".rstrip("0").rstrip(".")
        after = "" if self.anchor_us is None else _FROM + moment_text(self.anchor_us)
        return f"{_EVERY}{seconds}{after}"


class RulePart(Struct, frozen=True, tag="rrule"):
    """Moments of a recurrence rule of iCalendar.

    Attributes:
        lines: Such as ``DTSTART:20250101T060000`` and ``RRULE:FREQ=DAILY``.
    """

    lines: tuple[str, ...]

    def __str__(self) -> str:
        return " ".join(self.lines)


class DatesPart(Struct, frozen=True, tag="dates"):
    """Moments that are listed.

    Attributes:
        moments_us: In microseconds since the epoch, ascending.
    """

    moments_us: tuple[int, ...]

    def __str__(self) -> str:
        return _DATES + " ".join(map(moment_text, self.moments_us))


class CustomPart(Struct, frozen=True, tag="custom"):
    """Moments that the code of a user computes.

    Attributes:
        description: What it calls itself.
    """

    description: str

    def __str__(self) -> str:
        return _CUSTOM + self.description


Part = CronPart | IntervalPart | RulePart | DatesPart | CustomPart


def parts_of(schedule: str) -> tuple[Part, ...]:
    """Return the parts of a schedule; nothing of one without moments.

    Whether a cron expression, a rule or a zone makes sense is seen when it is computed.

    Args:
        schedule: A schedule in the form above.

    Raises:
        InvalidArgument: It has no such form.
    """
    if schedule in WITHOUT_TICKS:
        return ()
    if schedule.startswith(_CUSTOM):
        # Whatever stands in the description.
        return (CustomPart(schedule.removeprefix(_CUSTOM)),)
    return tuple(_part(each.strip(), schedule) for each in schedule.split(BETWEEN.strip()))


def is_custom(schedule: str) -> bool:
    """Whether the code of a user says when a schedule fires."""
    return schedule.startswith(_CUSTOM)


def joined(parts: Iterable[Part]) -> str:
    """Return the schedule that fires when one of its parts does; each of them once."""
    return BETWEEN.join(dict.fromkeys(map(str, parts)))


def moment_text(at_us: int) -> str:
    """Return a moment in UTC as schedules and the keys of their runs write it.

    >>> moment_text(0), moment_text(1_500_000)
    ('1970-01-01T00:00:00Z', '1970-01-01T00:00:01.500000Z')
    """
    return (_EPOCH + at_us * _US).isoformat().removesuffix("+00:00") + "Z"


def _part(text: str, schedule: str) -> Part:
    if text in WITHOUT_TICKS:
        what = f"{text} does not combine with other schedules" if text else "a part of it is empty"
        raise InvalidArgument(f"{schedule!r} is no schedule: {what}")
    if text.startswith(_EVERY):
        return _interval(text)
    if text.startswith(_DATES):
        moments = text.removeprefix(_DATES).split()
        return DatesPart(tuple(sorted({_moment_us(each, schedule) for each in moments})))
    if text.startswith(_RULES):
        return RulePart(tuple(text.split()))
    if text.startswith(_ZONE):
        zone, _, expression = text.removeprefix(_ZONE).partition(" ")
        return CronPart(_expression(expression.strip()), zone)
    return CronPart(_expression(text))


def _expression(text: str) -> str:
    if text.startswith("@"):
        if text not in PRESETS:
            hint = f"presets are {', '.join(PRESETS)}"
            raise InvalidArgument(f"{text!r} is no schedule", hint=hint)
    elif len(text.split()) != 5:
        hint = "a cron expression has 5 fields: minute hour day month weekday"
        raise InvalidArgument(f"{text!r} is no schedule", hint=hint)
    return text


def _interval(text: str) -> IntervalPart:
    length, _, anchor = text.removeprefix(_EVERY).partition(_FROM)
    try:
        seconds = float(length)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e9:
        raise InvalidArgument(f"{text!r} is no schedule", hint="write 'every <seconds>'")
    every_us = max(round(seconds * 1_000_000), 1)
    return IntervalPart(every_us, _moment_us(anchor, text) if anchor else None)


def _moment_us(text: str, schedule: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        message = f"{schedule!r} is no schedule: {text!r} is no moment"
        raise InvalidArgument(message, hint="such as 2025-01-31T06:00:00Z")
    return (moment - _EPOCH) // _US
