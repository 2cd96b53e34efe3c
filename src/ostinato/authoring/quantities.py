"""This module reads durations and sizes as people write them."""

import math
import re
from datetime import timedelta

_DURATION_UNITS_S = {
    "ms": 0.001,
    "s": 1.0,
    "sec": 1.0,
    "m": 60.0,
    "min": 60.0,
    "h": 3600.0,
    "d": 86400.0,
    "w": 604800.0,
}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?\s*(?:ms|sec|s|min|m|h|d|w)\s*)+")
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGTkmgt]?)(i?)[Bb]?")
_SIZE_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def seconds_of(value: object) -> float:
    """Return a duration in seconds.

    Args:
        value: Seconds, a timedelta, or text such as ``"5m"`` or ``"1h30m"``.

    Raises:
        ValueError: If it is none of these, or is negative or endless.

    >>> seconds_of("1h30m")
    5400.0
    """
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
    elif isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value)
    elif isinstance(value, str) and _DURATION.fullmatch(value.strip()):
        parts = _DURATION_PART.findall(value)
        seconds = sum(float(number) * _DURATION_UNITS_S[unit] for number, unit in parts)
    else:
        message = f"{value!r} is no duration; write seconds, a timedelta, or text like '5m'"
        raise ValueError(message)
    if not 0 <= seconds < math.inf:
        message = f"{value!r} is not a duration of zero or more seconds"
        raise ValueError(message)
    return seconds


def bytes_of(value: object) -> int:
    """Return a size in bytes.

    Args:
        value: Bytes, or text such as ``"512MB"`` (10^6) or ``"2GiB"`` (2^30).

    Raises:
        ValueError: If it is neither, or is negative.

    >>> bytes_of("512MB")
    512000000
    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        message = f"{value!r} is no size; write bytes, or text like '512MB' or '2GiB'"
        raise ValueError(message)
    number, unit, binary = match.groups()
    return int(float(number) * (1024 if binary else 1000) ** _SIZE_POWERS[unit.lower()])
