"""This module tells for which moments a flow is run by its schedule.

Without a reading of its own, a run of the tick T stands for T, and its data interval ends there.
Under ``interval_start``, Airflow 2's reading, it stands for the tick before T, where its data
begins, and is started at T all the same.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol
from zlib import crc32

from ostinato.engine.timetable.reading import Ticks, ticks_of
from ostinato.model.flow import FlowDefinition
from ostinato.model.schedule import WITHOUT_TICKS, is_custom, moment_text

#: The reading in which the logical date is where the data interval begins.
INTERVAL_START = "interval_start"

#: The other one: the logical date is the tick.
TICK = "tick"


class Occurrence(NamedTuple):
    """One moment of a flow's schedule; all in microseconds since the epoch.

    Attributes:
        tick_us: When it fires, jitter apart.
        logical_us: The moment that its run stands for.
        start_us: Where its data interval begins.
        end_us: Where that ends; not part of it.
    """

    tick_us: int
    logical_us: int
    start_us: int
    end_us: int


class FlowTimetable:
    """The moments of a flow's schedule between its start and its end.

    Args:
        flow: The flow, with a schedule that has ticks of its own.
        timezone: Of the project, for flows without one.

    Raises:
        InvalidArgument: The schedule or the zone cannot be read, or it has no ticks.
    """

    def __init__(self, flow: FlowDefinition, timezone: str = "") -> None:
        self._name = flow.name
        self._ticks: Ticks = ticks_of(flow.schedule, flow.timezone or timezone, flow.start_at_us)
        self._starts_before = flow.schedule_reading == INTERVAL_START
        self._start_us = flow.start_at_us
        self._end_us = flow.end_at_us
        self._jitter_us = round(flow.jitter_s * 1_000_000)

    def following(self, occurrence: Occurrence) -> Occurrence | None:
        """Return the occurrence after another one, None if that was the last."""
        tick_us = self._ticks.next_us(occurrence.tick_us)
        return None if tick_us is None else self._within(tick_us, occurrence.tick_us)

    def next(self, after_us: int) -> Occurrence | None:
        """Return the first occurrence whose tick is after a moment, None if there is none."""
        if self._start_us is not None:
            after_us = max(after_us, self._start_us - 1)
        tick_us = self._ticks.next_us(after_us)
        if tick_us is None:
            return None
        before_us = self._before_us(tick_us)
        if self._starts_before and self._start_us is not None and before_us < self._start_us:
            # What fires first stands for a moment before the start.
            before_us, tick_us = tick_us, self._ticks.next_us(tick_us)
            if tick_us is None:
                return None
        return self._within(tick_us, before_us)

    def latest(self, at_us: int) -> Occurrence | None:
        """Return the latest occurrence whose tick is at or before a moment, None if none is."""
        if self._end_us is not None:
            last_us = self._ticks.next_us(self._end_us) if self._starts_before else self._end_us
            at_us = at_us if last_us is None else min(at_us, last_us)
        tick_us = self._ticks.latest_us(at_us)
        return None if tick_us is None else self._within(tick_us, self._before_us(tick_us))

    def between(self, after_us: int, until_us: int) -> Iterator[Occurrence]:
        """Yield the occurrences whose ticks are after one moment up to another, in order."""
        found = self.next(after_us)
        while found is not None and found.tick_us <= until_us:
            yield found
            found = self.following(found)

    def for_dates(self, from_us: int, until_us: int) -> Iterator[Occurrence]:
        """Yield the occurrences whose logical dates are from one moment up to another."""
        found = self.next(from_us - 1)
        while found is not None and found.logical_us <= until_us:
            if found.logical_us >= from_us:
                yield found
            found = self.following(found)

    def fires_us(self, tick_us: int) -> int:
        """Return when a tick fires: by its jitter later, the same for each that asks."""
        return jittered(self._name, tick_us, self._jitter_us)

    def _before_us(self, tick_us: int) -> int:
        """Return the tick before another one, itself where there is none."""
        found = self._ticks.latest_us(tick_us - 1)
        return tick_us if found is None else found

    def _within(self, tick_us: int, before_us: int) -> Occurrence | None:
        logical_us = before_us if self._starts_before else tick_us
        if self._start_us is not None and logical_us < self._start_us:
            return None
        if self._end_us is not None and logical_us > self._end_us:
            return None
        return Occurrence(tick_us, logical_us, before_us, tick_us)


class KnownMoments:
    """Moments that the code of a user has computed, between a flow's start and end.

    Args:
        flow: The flow.
        moments: Tick, begin and end of the interval of each, ascending.
    """

    def __init__(self, flow: FlowDefinition, moments: Sequence[tuple[int, int, int]]) -> None:
        self._name = flow.name
        self._jitter_us = round(flow.jitter_s * 1_000_000)
        start_us, end_us = flow.start_at_us, flow.end_at_us
        starts_before = flow.schedule_reading == INTERVAL_START
        every = [
            Occurrence(tick_us, begin_us if starts_before else tick_us, begin_us, over_us)
            for tick_us, begin_us, over_us in moments
        ]
        self._known = [
            each
            for each in every
            if (start_us is None or each.logical_us >= start_us)
            and (end_us is None or each.logical_us <= end_us)
        ]

    @property
    def first(self) -> Occurrence | None:
        """The first of them, None if there is none."""
        return self._known[0] if self._known else None

    def following(self, occurrence: Occurrence) -> Occurrence | None:
        """Return the occurrence after another one, None if it is not known."""
        later = (each for each in self._known if each.tick_us > occurrence.tick_us)
        return next(later, None)

    def latest(self, at_us: int) -> Occurrence | None:
        """Return the latest occurrence whose tick is at or before a moment."""
        return max((each for each in self._known if each.tick_us <= at_us), default=None)

    def fires_us(self, tick_us: int) -> int:
        """Return when a tick fires."""
        return jittered(self._name, tick_us, self._jitter_us)


def jittered(name: str, tick_us: int, jitter_us: int) -> int:
    """Return a tick, later by chance that is the same for each that asks.

    Args:
        name: Of the flow.
        tick_us: The tick.
        jitter_us: By how much at most.
    """
    if not jitter_us:
        return tick_us
    return tick_us + int(crc32(f"{name}:{tick_us}".encode()) / 2**32 * jitter_us)


def has_ticks(schedule: str) -> bool:
    """Whether the moments of a schedule can be computed without the code of a user."""
    return schedule not in WITHOUT_TICKS and not is_custom(schedule)


def tick_key(name: str, tick_us: int) -> str:
    """Return the key by which there is one run of a tick.

    >>> tick_key("etl", 0)
    'schedule:etl:1970-01-01T00:00:00Z'
    """
    return f"schedule:{name}:{moment_text(tick_us)}"


class Timetable(Protocol):
    """The occurrences of one flow."""

    def following(self, occurrence: Occurrence) -> Occurrence | None:
        """Return the occurrence after another one, None if that was the last."""
        ...

    def latest(self, at_us: int) -> Occurrence | None:
        """Return the latest occurrence whose tick is at or before a moment, None if none is."""
        ...

    def fires_us(self, tick_us: int) -> int:
        """Return when a tick fires."""
        ...


class Due(NamedTuple):
    """What is to be done of a schedule at a moment.

    Attributes:
        fired: The occurrences that make runs, in order.
        since: The first of those that one run makes up for; None if none was missed.
        following: The occurrence after them, None if there is none.
    """

    fired: tuple[Occurrence, ...]
    since: Occurrence | None
    following: Occurrence | None


def due_at(
    timetable: Timetable, first: Occurrence, now_us: int, *, catchup: bool, limit: int = 1000
) -> Due:
    """Return what is to be done when an occurrence is due, or was due while nobody looked.

    Without catch-up, the newest of several that were missed stands for all of them.

    Args:
        timetable: Of the flow.
        first: The occurrence that is due.
        now_us: The moment.
        catchup: Whether each that was missed makes a run.
        limit: At most so many; the rest is due again.
    """
    fired, following = [first], timetable.following(first)
    if following is None or timetable.fires_us(following.tick_us) > now_us:
        return Due((first,), None, following)
    if catchup:
        while following is not None and timetable.fires_us(following.tick_us) <= now_us:
            if len(fired) == limit:
                break
            fired.append(following)
            following = timetable.following(following)
        return Due(tuple(fired), None, following)
    newest = timetable.latest(now_us) or following
    while timetable.fires_us(newest.tick_us) > now_us:
        # It is later by its jitter, and comes next.
        newest = timetable.latest(newest.tick_us - 1) or first
    return Due((newest,), first, timetable.following(newest))
