"""This module reads days of the week as people write them."""

from collections.abc import Iterable
from enum import IntEnum

from ostinato.authoring.suggestions import did_you_mean


class WeekDay(IntEnum):
    """A day of the week, numbered as in ISO 8601: Monday is 1, Sunday is 7."""

    MONDAY = 1
    TUESDAY = 2
    WEDNESDAY = 3
    THURSDAY = 4
    FRIDAY = 5
    SATURDAY = 6
    SUNDAY = 7


_DAYS = {day.name.lower(): day for day in WeekDay}
_DAYS |= {name[:3]: day for name, day in _DAYS.items()}


def weekdays_of(value: object) -> frozenset[WeekDay]:
    """Return days of the week.

    Args:
        value: A ``WeekDay`` or the name of a day, short or in full; or several of them.

    Raises:
        ValueError: If it is none of these, or empty. A bare number is none: where a week
            begins is not the same everywhere.

    >>> sorted(day.name for day in weekdays_of(["Mon", "sunday"]))
    ['MONDAY', 'SUNDAY']
    """
    several = [value] if isinstance(value, str | int) else value
    if not isinstance(several, Iterable):
        message = f"{value!r} is no day of the week"
        raise ValueError(message)
    days = frozenset(_day(each) for each in several)
    if not days:
        message = "no day of the week is named"
        raise ValueError(message)
    return days


def _day(value: object) -> WeekDay:
    if isinstance(value, WeekDay):
        return value
    text = value.strip().lower() if isinstance(value, str) else ""
    day = _DAYS.get(text)
    if day is None:
        guess = did_you_mean(text, _DAYS)
        message = f"{value!r} is no day of the week{f' ({guess})' if guess else ''}"
        raise ValueError(message)
    return day
