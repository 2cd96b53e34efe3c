"""This module holds the schedules that are objects, and what those of users inherit.

A text is enough for most: ``"@daily"``, ``"0 6 * * MON-FRI"``, ``timedelta(hours=2)``. An object
says more: a zone of its own, where an interval begins, a rule, dates.
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from ostinato.authoring.quantities import seconds_of
from ostinato.authoring.schedule_checks import (
    check_timezone,
    cron_problem,
    every,
    moment_us,
    rule_problem,
)
from ostinato.errors import InvalidArgument, Place
from ostinato.model.schedule import PRESETS, CronPart, DatesPart, IntervalPart, Part, RulePart

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Schedule:
    """What the schedules of this module have in common."""

    def part(self, timezone: str, place: Place | None) -> Part:
        """Return it as the model keeps it.

        Args:
            timezone: Of the flow; moments without a zone are in it. Empty for UTC.
            place: Where it stands.

        Raises:
            InvalidArgument: It cannot be read.
        """
        raise NotImplementedError

    def __repr__(self) -> str:
        said = ", ".join(f"{name}={value!r}" for name, value in vars(self).items() if value)
        return f"{type(self).__name__}({said})"


class Cron(Schedule):
    """Fire when the fields of local time have given values.

    Args:
        expression: Of five fields, or a preset such as ``@daily``.
        timezone: IANA name of the zone in which it is read; by default the flow's.
    """

    def __init__(self, expression: str, timezone: str = "") -> None:
        self.expression = " ".join(expression.split())
        self.timezone = timezone

    def part(self, timezone: str, place: Place | None) -> Part:
        """Return it as the model keeps it."""
        del timezone
        problem = "" if self.expression in PRESETS else cron_problem(self.expression)
        if problem:
            message = f"{self.expression!r} is no cron expression: {problem}"
            raise InvalidArgument(message, place=place)
        if self.timezone:
            check_timezone(self.timezone, place)
        return CronPart(self.expression, self.timezone)


class Interval(Schedule):
    """Fire at equal distances of elapsed time, whatever local clocks do.

    Args:
        interval: A timedelta, seconds, or text such as ``"90m"``.
        anchor: A moment that it hits; by default the flow's ``start_date``, else midnight UTC.
    """

    def __init__(
        self, interval: timedelta | float | str, anchor: datetime | date | str | None = None
    ) -> None:
        self.interval = interval
        self.anchor = anchor

    def part(self, timezone: str, place: Place | None) -> Part:
        """Return it as the model keeps it."""
        try:
            seconds = seconds_of(self.interval)
        except ValueError as error:
            raise InvalidArgument(str(error), place=place) from None
        anchor_us = moment_us(self.anchor, "anchor", timezone, place)
        return IntervalPart(every(seconds, place).every_us, anchor_us)


class RRule(Schedule):
    """Fire by a recurrence rule of iCalendar (RFC 5545).

    Args:
        rule: Such as ``"FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=18"``, with ``DTSTART``, ``RDATE``,
            ``EXRULE`` and ``EXDATE`` in lines of their own if wanted; or what
            ``dateutil.rrule`` makes.
        timezone: IANA name of the zone in which it is meant; by default that of ``DTSTART``,
            else the flow's.
    """

    def __init__(self, rule: Any, timezone: str = "") -> None:
        self.rule = str(rule)
        self.timezone = timezone

    def part(self, timezone: str, place: Place | None) -> Part:
        """Return it as the model keeps it."""
        del timezone
        lines = [line for line in self.rule.split() if line]
        if self.timezone:
            check_timezone(self.timezone, place)
            lines = [_in_zone(line, self.timezone) for line in lines]
            if not any(line.startswith("DTSTART") for line in lines):
                lines.insert(0, f"DTSTART;TZID={self.timezone}:20200101T000000")
        problem = rule_problem(lines)
        if problem:
            message = f"{self.rule!r} is no recurrence rule: {problem}"
            hint = "such as FREQ=WEEKLY;BYDAY=MO,WE"
            raise InvalidArgument(message, place=place, hint=hint)
        return RulePart(tuple(lines))


class Dates(Schedule):
    """Fire at listed moments, each once.

    Args:
        dates: Datetimes, dates, or texts such as ``"2025-01-31T06:00"``.
        more: Further ones.
        timezone: IANA name of the zone of those without one; by default the flow's.
    """

    def __init__(
        self,
        dates: Iterable[datetime | date | str] | datetime | date | str,
        *more: datetime | date | str,
        timezone: str = "",
    ) -> None:
        first = [dates] if isinstance(dates, date | str) else list(dates)
        self.dates = [*first, *more]
        self.timezone = timezone

    def part(self, timezone: str, place: Place | None) -> Part:
        """Return it as the model keeps it."""
        if self.timezone:
            check_timezone(self.timezone, place)
        zone = self.timezone or timezone
        moments = {moment_us(each, "date", zone, place) for each in self.dates} - {None}
        if not moments:
            raise InvalidArgument("a schedule without dates never fires", place=place)
        return DatesPart(tuple(sorted(at_us for at_us in moments if at_us is not None)))


class Timetable:
    """Say in code when a flow fires: inherit from this and define ``next``.

    It is asked in a process of its own, with a time limit; it may be asked for the same moment
    several times and must answer the same. What ``repr`` says of it is shown to people, and a
    timetable whose ``repr`` changes counts as another one.

    Example:
        ``class Workdays(Timetable)`` with ``def next(self, after): ...``
    """

    def next(self, after: datetime) -> datetime | None:
        """Return the first moment after another one, None for never again.

        Args:
            after: In the flow's zone.
        """
        raise NotImplementedError

    def interval(self, tick: datetime, previous: datetime | None) -> tuple[datetime, datetime]:
        """Return begin and end of the data of a moment's run.

        Args:
            tick: The moment.
            previous: The one before it, None if that is not known.
        """
        return previous or tick, tick

    def __repr__(self) -> str:
        said = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({said})"


def moments_after(
    timetable: Timetable,
    after_us: int,
    *,
    timezone: str,
    now_us: int,
    count: int,
    has_all: bool,
    is_tick: bool = False,
) -> list[tuple[int, int, int]]:
    """Return moments of a timetable of a user with their intervals, ascending.

    Args:
        timetable: Of a flow.
        after_us: The moment after which they are.
        timezone: Of the flow, empty for UTC.
        now_us: The present: of what lies before it only the newest is wanted.
        count: At most so many.
        has_all: Whether all that lies before the present is wanted.
        is_tick: Whether the moment after which they are is one of the timetable.

    Raises:
        TypeError: It returns no moment.
        ValueError: It returns one that is not after the one that it was given.
    """
    zone: tzinfo = ZoneInfo(timezone) if timezone else UTC
    found: list[tuple[int, int, int]] = []
    moment = _moment(after_us, zone)
    last = moment if is_tick else None
    while len(found) < count:
        # Compared in UTC: in a zone, Python compares what clocks show.
        following = timetable.next(moment)
        if following is None:
            break
        following = _checked(timetable, following, zone)
        if following.astimezone(UTC) <= moment.astimezone(UTC):
            message = f"{timetable!r}.next({moment}) returns {following}, which is not after it"
            raise ValueError(message)
        start, end = timetable.interval(following, last)
        tick_us, start_us, end_us = map(_us, (following, start, end))
        if found and not has_all and tick_us <= now_us:
            found.clear()
        found.append((tick_us, start_us, end_us))
        moment = last = following
    return found


def _checked(timetable: Timetable, moment: object, zone: tzinfo) -> datetime:
    if not isinstance(moment, datetime):
        raise TypeError(f"{timetable!r}.next() returns {moment!r}, which is no datetime")
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=zone)


def _moment(at_us: int, zone: tzinfo) -> datetime:
    return (_EPOCH + timedelta(microseconds=at_us)).astimezone(zone)


def _us(moment: datetime) -> int:
    return (moment.astimezone(UTC) - _EPOCH) // timedelta(microseconds=1)


def _in_zone(line: str, timezone: str) -> str:
    name, _, value = line.partition(":")
    if name == "DTSTART" and not value.endswith("Z"):
        return f"DTSTART;TZID={timezone}:{value}"
    return line
