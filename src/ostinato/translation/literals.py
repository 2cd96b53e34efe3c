"""This module writes values as Python text that needs nothing but pendulum."""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from enum import Enum
from pathlib import PurePath
from typing import Any

from ostinato.errors import NotInAirflow

#: Writes what is no plain value: a function, a result of a task.
WriteOther = Callable[[Any], str | None]


def written(value: Any, other: WriteOther = lambda _: None) -> str:
    """Return an expression that gives a value again.

    Args:
        value: Plain values, dates, containers of these, and what ``other`` knows.
        other: Returns the expression of anything else, None if it knows none.

    Raises:
        NotInAirflow: No text stands for it.

    >>> written({"day": date(2025, 1, 31), "limit": 3})
    '{"day": pendulum.date(2025, 1, 31), "limit": 3}'
    """
    if isinstance(value, str) and value.count("\n") and len(value) > 40:
        lines = "".join(f"    {quoted(line)}\n" for line in value.splitlines(keepends=True))
        return f"(\n{lines})"
    if isinstance(value, str) and not isinstance(value, Enum):
        return quoted(value)
    if value is None or (isinstance(value, bool | int | bytes) and not isinstance(value, Enum)):
        return repr(value)
    if isinstance(value, float):
        return repr(value) if value == value and abs(value) != float("inf") else f"float('{value}')"
    if isinstance(value, timedelta):
        return duration(value.total_seconds())
    if isinstance(value, datetime | date | time):
        return _moment(value)
    if isinstance(value, PurePath):
        return quoted(str(value))
    known = other(value)
    if known is not None:
        return known
    if isinstance(value, Mapping):
        items = [f"{written(key, other)}: {written(item, other)}" for key, item in value.items()]
        return "{" + ", ".join(items) + "}"
    if isinstance(value, list | tuple | set | frozenset):
        return _several(value, other)
    kind = type(value).__name__
    raise NotInAirflow(f"{_short(value)} is a {kind}, which cannot be written into another file")


def quoted(text: str) -> str:
    """Return the literal of a text, in double quotes where these need no escape.

    >>> print(quoted("it's"), quoted("plain"), quoted('a "word"'))
    "it's" "plain" 'a "word"'
    """
    literal = repr(text)
    if literal[0] == "'" and '"' not in text and "\\'" not in literal:
        return f'"{literal[1:-1]}"'
    return literal


def duration(seconds: float) -> str:
    """Return the expression of a length of time.

    >>> duration(5400), duration(0.5)
    ('pendulum.duration(minutes=90)', 'pendulum.duration(seconds=0.5)')
    """
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds and seconds % length == 0:
            return f"pendulum.duration({unit}={int(seconds // length)})"
    return f"pendulum.duration(seconds={int(seconds) if seconds == int(seconds) else seconds})"


def moment(at_us: int, timezone: str) -> str:
    """Return the expression of a moment.

    Args:
        at_us: Microseconds since the epoch.
        timezone: IANA name; empty for UTC.
    """
    from zoneinfo import ZoneInfo  # noqa: PLC0415 - only flows with a start date need it

    local = datetime.fromtimestamp(at_us / 1_000_000, tz=UTC)
    if timezone:
        local = local.astimezone(ZoneInfo(timezone))
    return _moment(local)


def _moment(value: date | time) -> str:
    if isinstance(value, datetime):
        zone = value.tzinfo
        name = getattr(zone, "key", None) or getattr(zone, "name", None) or "UTC"
        if zone is None:
            return f"pendulum.naive({_numbers(value.timetuple()[:6], value.microsecond)})"
        if not isinstance(name, str) or name == "UTC":
            value, name = value.astimezone(UTC), "UTC"
        numbers = _numbers(value.timetuple()[:6], value.microsecond)
        return f"pendulum.datetime({numbers}, tz={quoted(name)})"
    if isinstance(value, date):
        return f"pendulum.date({value.year}, {value.month}, {value.day})"
    numbers = _numbers((value.hour, value.minute, value.second), value.microsecond, least=2)
    return f"pendulum.time({numbers})"


def _numbers(parts: tuple[int, ...], microseconds: int, least: int = 3) -> str:
    numbers = [*parts, microseconds]
    while len(numbers) > least and not numbers[-1]:
        numbers.pop()
    return ", ".join(map(str, numbers))


def _several(value: Any, other: WriteOther) -> str:
    items = [written(item, other) for item in value]
    if isinstance(value, list):
        return "[" + ", ".join(items) + "]"
    if isinstance(value, tuple):
        return "(" + ", ".join(items) + ("," if len(items) == 1 else "") + ")"
    ordered = ", ".join(sorted(items))
    if isinstance(value, frozenset):
        return f"frozenset([{ordered}])"
    return "{" + ordered + "}" if items else "set()"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
