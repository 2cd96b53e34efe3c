"""This module reads local time, and knows where clocks are changed."""

from datetime import UTC, datetime, timedelta, tzinfo

from ostinato.errors import InvalidArgument

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

#: More than any clock was ever set back at once: so far ahead a search for a tick begins
#: where local times repeat.
REPEATED = timedelta(hours=3)

_US = timedelta(microseconds=1)


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


def is_near_change(zone: tzinfo, moment: datetime) -> bool:
    """Whether clocks are changed within a day of a moment."""
    if zone is UTC:
        return False
    day = timedelta(days=1)
    offsets = {(moment + d).astimezone(zone).utcoffset() for d in (-day, timedelta(), day)}
    return len(offsets) > 1


def moment_of(at_us: int) -> datetime:
    """Return microseconds since the epoch as a moment in UTC."""
    return EPOCH + timedelta(microseconds=at_us)


def us_of(moment: datetime) -> int:
    """Return a moment with a zone in microseconds since the epoch."""
    return (moment - EPOCH) // _US
