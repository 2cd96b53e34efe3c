"""This module tells when flows fire next, without their code where that is possible."""

from collections.abc import Callable, Iterator
from heapq import merge
from typing import NamedTuple

from ostinato.engine.occurrences import FlowTimetable, KnownMoments, Occurrence, has_ticks
from ostinato.model.flow import FlowDefinition
from ostinato.model.schedule import is_custom
from ostinato.model.schedule_tick import MomentsInput

#: Moments that a timetable of a user is asked for at a time.
_ASKED = 20

#: Asks the timetable of a flow that is in the code of a user.
Ask = Callable[[str, MomentsInput], list[tuple[int, int, int]]]


class Coming(NamedTuple):
    """A moment at which a flow will fire.

    Attributes:
        at_us: When, jitter included.
        flow: Its name.
        occurrence: The moment of its schedule.
    """

    at_us: int
    flow: str
    occurrence: Occurrence


def coming(
    flows: list[FlowDefinition], after_us: int, *, timezone: str, ask: Ask | None = None
) -> Iterator[Coming]:
    """Yield the moments at which flows fire after one moment, in order and without end.

    Args:
        flows: Those that have no schedule with moments are passed over.
        after_us: The moment, in microseconds since the epoch.
        timezone: Of the project, for flows without one.
        ask: Asks timetables of users; None to pass over their flows.

    Raises:
        InvalidArgument: A schedule or a zone cannot be read.
    """
    found = []
    for flow in flows:
        if has_ticks(flow.schedule):
            found.append(_of_timetable(flow, after_us, timezone))
        elif is_custom(flow.schedule) and ask is not None:
            found.append(_of_user(flow, after_us, timezone, ask))
    return merge(*found)


def _of_timetable(flow: FlowDefinition, after_us: int, timezone: str) -> Iterator[Coming]:
    timetable = FlowTimetable(flow, timezone)
    # One that fires later by its jitter comes too.
    found = timetable.next(after_us - round(flow.jitter_s * 1_000_000))
    while found is not None:
        at_us = timetable.fires_us(found.tick_us)
        if at_us > after_us:
            yield Coming(at_us, flow.name, found)
        found = timetable.following(found)


def _of_user(flow: FlowDefinition, after_us: int, timezone: str, ask: Ask) -> Iterator[Coming]:
    base_us = max(after_us, (flow.start_at_us or 0) - 1)
    is_tick = False
    while True:
        zone = flow.timezone or timezone
        asked = MomentsInput(
            base_us, zone, now_us=base_us, count=_ASKED, has_all=True, is_tick=is_tick
        )
        moments = ask(flow.name, asked)
        known = KnownMoments(flow, moments)
        found = known.first
        while found is not None:
            yield Coming(known.fires_us(found.tick_us), flow.name, found)
            found = known.following(found)
        if len(moments) < _ASKED or known.first is None:
            return
        base_us, is_tick = moments[-1][0], True
