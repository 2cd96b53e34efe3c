"""This module shows when flows fire, and runs them so, under virtual time."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple
from zoneinfo import ZoneInfo

from ostinato.authoring.function_flows import FunctionFlow
from ostinato.authoring.timetables import Timetable, moments_after
from ostinato.engine.occurrences import FlowTimetable, KnownMoments, Occurrence
from ostinato.engine.timetable.zones import moment_of, us_of
from ostinato.errors import UsageError
from ostinato.testing.memory import MemoryRun, run_occurrence

if TYPE_CHECKING:
    from ostinato.authoring.dag import DAG

#: More moments than this are taken for a mistake.
MAX_MOMENTS = 100_000


class Moment(NamedTuple):
    """A moment at which a flow fires; datetimes in the flow's zone.

    Attributes:
        at: When, jitter included.
        logical_date: The moment that its run stands for.
        data_interval_start: Where its data begins.
        data_interval_end: Where that ends; not part of it.
    """

    at: datetime
    logical_date: datetime
    data_interval_start: datetime
    data_interval_end: datetime


def moments(
    flow: "DAG | FunctionFlow[..., Any]",
    start: datetime,
    until: datetime | timedelta,
    *,
    timezone: str = "UTC",
) -> list[Moment]:
    """Return the moments at which a flow fires by its schedule.

    Args:
        flow: What ``@dag``, ``DAG`` or ``@flow`` made.
        start: Those after this moment; without a zone it is in that of the flow.
        until: Those up to this moment, or so long after the start.
        timezone: Zone of flows that name none.

    Raises:
        UsageError: Its schedule has too many moments.
        InvalidArgument: It has none of its own.

    Example:
        >>> from datetime import UTC, datetime, timedelta
        >>> from ostinato import DAG, testing
        >>> flow = DAG("etl", schedule="0 6 * * MON-FRI")
        >>> found = testing.moments(flow, datetime(2025, 1, 3, tzinfo=UTC), timedelta(days=4))
        >>> [f"{each.at:%a %H:%M}" for each in found]
        ['Fri 06:00', 'Mon 06:00']
    """
    zone = ZoneInfo(_graph_of(flow).definition.timezone or timezone)
    return [
        Moment(*(moment_of(each).astimezone(zone) for each in (at_us, *occurrence[1:])))
        for at_us, occurrence in _found(flow, start, until, timezone)
    ]


def run_schedule(
    flow: "DAG | FunctionFlow[..., Any]",
    start: datetime,
    until: datetime | timedelta,
    *,
    timezone: str = "UTC",
    params: Mapping[str, Any] | None = None,
    **options: Any,
) -> list[MemoryRun]:
    """Run a flow at each moment of its schedule, in memory, one after the other.

    Each run finds those before it, and its clock shows the moment, or a later one where the run
    before has taken longer.

    Args:
        flow: What ``@dag``, ``DAG`` or ``@flow`` made.
        start: For the moments after this one; without a zone it is in that of the flow.
        until: For those up to this moment, or so long after the start.
        timezone: Zone of flows that name none.
        params: Values of its parameters beside those of its schedule.
        options: Further arguments of ``run``.

    Raises:
        UsageError: Its schedule has too many moments.
        InvalidArgument: It has none of its own.
        ParameterError: The parameters do not fit the flow.
    """
    given = {**_graph_of(flow).definition.schedule_params, **(params or {})}
    runs: list[MemoryRun] = []
    for at_us, occurrence in _found(flow, start, until, timezone):
        made = run_occurrence(
            flow,
            occurrence,
            params=given,
            start=moment_of(at_us),
            timezone=timezone,
            after=runs[-1] if runs else None,
            **options,
        )
        runs.append(made)
    return runs


def _found(
    flow: "DAG | FunctionFlow[..., Any]",
    start: datetime,
    until: datetime | timedelta,
    timezone: str,
) -> list[tuple[int, Occurrence]]:
    dag = _graph_of(flow)
    zone = ZoneInfo(dag.definition.timezone or timezone)
    start = start if start.tzinfo is not None else start.replace(tzinfo=zone)
    # In UTC: what lasts a day does so where clocks are changed.
    end = start.astimezone(UTC) + until if isinstance(until, timedelta) else until
    end = end if end.tzinfo is not None else end.replace(tzinfo=zone)
    start_us, end_us = us_of(start.astimezone(UTC)), us_of(end.astimezone(UTC))
    if dag.timetable is not None:
        every = _of_user(dag, dag.timetable, start_us, end_us, timezone)
    else:
        every = _of_timetable(dag, start_us, end_us, timezone)
    found = list(islice(every, MAX_MOMENTS + 1))
    if len(found) > MAX_MOMENTS:
        message = f"flow {dag.name!r} fires more than {MAX_MOMENTS} times"
        raise UsageError(message, hint="look at a shorter time")
    return found


def _of_timetable(
    dag: "DAG", start_us: int, end_us: int, timezone: str
) -> Iterator[tuple[int, Occurrence]]:
    timetable = FlowTimetable(dag.definition, timezone)
    for each in timetable.between(start_us, end_us):
        yield timetable.fires_us(each.tick_us), each


def _of_user(
    dag: "DAG", timetable: Timetable, start_us: int, end_us: int, timezone: str
) -> Iterator[tuple[int, Occurrence]]:
    zone = dag.definition.timezone or timezone
    at_us = max(start_us, (dag.definition.start_at_us or 0) - 1)
    is_tick = False
    while True:
        moments = moments_after(
            timetable, at_us, timezone=zone, now_us=at_us, count=1, has_all=True, is_tick=is_tick
        )
        known = KnownMoments(dag.definition, moments)
        if known.first is None or known.first.tick_us > end_us:
            return
        yield known.fires_us(known.first.tick_us), known.first
        at_us, is_tick = known.first.tick_us, True


def _graph_of(flow: "DAG | FunctionFlow[..., Any]") -> "DAG":
    return flow.dag if isinstance(flow, FunctionFlow) else flow
