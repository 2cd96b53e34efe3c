"""This module makes of the text of a schedule what computes its ticks."""

from functools import lru_cache
from typing import Protocol, assert_never

from ostinato.engine.timetable.cron import CronTicks
from ostinato.engine.timetable.listed import IntervalTicks, ListedTicks
from ostinato.engine.timetable.zones import zone_of
from ostinato.errors import InvalidArgument
from ostinato.model.schedule import (
    WITHOUT_TICKS,
    CronPart,
    CustomPart,
    DatesPart,
    IntervalPart,
    Part,
    RulePart,
    parts_of,
)


class Ticks(Protocol):
    """The moments of a schedule, in microseconds since the epoch."""

    def next_us(self, after_us: int) -> int | None:
        """Return the first one after a moment, None if there is none."""
        ...

    def latest_us(self, at_us: int) -> int | None:
        """Return the latest one at or before a moment, None if there is none."""
        ...


@lru_cache(maxsize=1024)
def ticks_of(schedule: str, timezone: str = "", anchor_us: int | None = None) -> Ticks:
    """Return what computes the ticks of a schedule.

    Args:
        schedule: As ``ostinato.model.schedule`` writes it, with moments of its own.
        timezone: IANA name of the zone in which it is read; empty for UTC.
        anchor_us: A moment that intervals hit which name none: the flow's start. With None they
            tick at their multiples since the epoch.

    Raises:
        InvalidArgument: The schedule or the zone cannot be read, or it has no ticks.
    """
    if schedule in WITHOUT_TICKS:
        hint = "give a cron expression, a preset such as @daily, or an interval"
        raise InvalidArgument(f"the schedule {schedule!r} has no moments of its own", hint=hint)
    each = [_ticks(part, timezone, anchor_us) for part in parts_of(schedule)]
    return each[0] if len(each) == 1 else CombinedTicks(each)


class CombinedTicks:
    """The ticks of several schedules; what they share is one tick.

    Args:
        parts: The others.
    """

    def __init__(self, parts: list[Ticks]) -> None:
        self._parts = parts

    def next_us(self, after_us: int) -> int | None:
        """Return the first tick after a moment."""
        found = (part.next_us(after_us) for part in self._parts)
        return min((each for each in found if each is not None), default=None)

    def latest_us(self, at_us: int) -> int | None:
        """Return the latest tick at or before a moment."""
        found = (part.latest_us(at_us) for part in self._parts)
        return max((each for each in found if each is not None), default=None)


def _ticks(part: Part, timezone: str, anchor_us: int | None) -> Ticks:
    match part:
        case CronPart():
            return CronTicks(part.expression, zone_of(part.timezone or timezone))
        case IntervalPart():
            anchor = part.anchor_us if part.anchor_us is not None else anchor_us
            return IntervalTicks(part.every_us, anchor or 0)
        case DatesPart():
            return ListedTicks(part.moments_us)
        case RulePart():
            # Only a flow with a rule pays for the library of rules.
            from ostinato.engine.timetable.rules import RuleTicks  # noqa: PLC0415 - see above

            return RuleTicks(part.lines, timezone, anchor_us)
        case CustomPart():
            hint = "its class computes them"
            message = f"the moments of {part.description} are not known here"
            raise InvalidArgument(message, hint=hint)
        case _:
            assert_never(part)
