"""This module finds and shows the schedules of flows, how they stand, and when they fire."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import click
import msgspec
from msgspec import Struct

from ostinato.cli.code import Code, begin_loading, use_environment, warn
from ostinato.cli.display import iso, moment
from ostinato.cli.opening import Opened, open_project
from ostinato.cli.vault import print_table
from ostinato.client.coming_ticks import Coming, coming
from ostinato.clock import SystemClock
from ostinato.engine.timetable import zone_of
from ostinato.engine.timetable.zones import moment_of
from ostinato.errors import OstinatoError, UsageError
from ostinato.model.flow import FlowDefinition
from ostinato.model.schedule import WITHOUT_TICKS, is_custom
from ostinato.model.schedule_tick import (
    MomentsInput,
    ScheduleRow,
    ScheduleTickRow,
)
from ostinato.project.discovery import Project

Json = dict[str, Any]

#: Seconds that the timetable of a user may take.
TIMEOUT_S = 10.0

_WORDS = {"": "", "@once": "one time", "@continuous": "always"}
_NOTHING = "no flow has a schedule"
_UNKNOWN = "its timetable has not said when it fires"


class Scheduled(Struct, frozen=True):
    """The flows of a project that have a schedule, by name, and where they are recorded.

    Attributes:
        opened: The project, its store, a client.
        flows: The flows.
        ask: Asks a timetable that is in the code of a user.
        version: Of the definitions.
        data: The definitions, encoded.
    """

    opened: Opened
    flows: dict[str, FlowDefinition]
    ask: Callable[[str, MomentsInput], list[tuple[int, int, int]]]
    version: str
    data: bytes

    def flow(self, name: str) -> FlowDefinition:
        """Return the flow of that name.

        Raises:
            UsageError: There is none, or it has no schedule.
        """
        from ostinato.authoring.suggestions import did_you_mean

        found = self.flows.get(name)
        if found is None:
            some = f"these have: {', '.join(list(self.flows)[:10])}" if self.flows else _NOTHING
            message = f"there is no flow {name!r} with a schedule"
            raise UsageError(message, hint=did_you_mean(name, self.flows) or some)
        return found

    def coming(self, flows: Sequence[FlowDefinition], after_us: int) -> Iterator[Coming]:
        """Yield when flows fire, in order and without end."""
        timezone = self.opened.project.settings.timezone
        return coming(list(flows), after_us, timezone=timezone, ask=self.ask)


@contextmanager
def open_scheduled(folder: Path | None, environment: str | None) -> Iterator[Scheduled]:
    """Load a project's code, then open its store.

    Args:
        folder: In the project; None for the working directory.
        environment: Of the settings; None for that of the variable.
    """
    use_environment(environment)
    code = begin_loading(str(folder or Path.cwd()))
    try:
        manifest, data, version = code.definitions()
        warn(manifest.problems)
        flows = {flow.name: flow for flow in manifest.flows if flow.schedule}
        with open_project(code.project) as opened:
            yield Scheduled(opened, flows, _asking(code), version, data)
    finally:
        code.host.close()


def _asking(code: Code) -> Callable[[str, MomentsInput], list[tuple[int, int, int]]]:
    def ask(flow: str, asked: MomentsInput) -> list[tuple[int, int, int]]:
        from ostinato.executors.evaluators import Evaluators, NotEvaluable

        evaluators = Evaluators(code.host)
        try:
            payload = msgspec.msgpack.encode(asked)
            told = evaluators.evaluate("timetable", flow, payload, timeout_s=TIMEOUT_S)
        except NotEvaluable as error:
            message = f"the timetable of {flow!r} does not answer: {error.failure.summary}"
            raise UsageError(message) from None
        finally:
            evaluators.close()
        return msgspec.msgpack.decode(told.payload, type=list[tuple[int, int, int]])

    return ask


# How they stand


class Overview(Struct, frozen=True):
    """A schedule and how it stands.

    Attributes:
        flow: Whose.
        row: What is kept of it; None if no scheduler has seen it.
        next_us: When it fires next; None for never, or at no moment of its own.
        problem: Why that is not known; empty if it is.
    """

    flow: FlowDefinition
    row: ScheduleRow | None
    next_us: int | None
    problem: str = ""

    @property
    def is_paused(self) -> bool:
        """Whether it makes no runs."""
        return self.row is not None and self.row.is_paused


def overview(scheduled: Scheduled) -> list[Overview]:
    """Return all schedules and how they stand, by the names of their flows."""
    opened = scheduled.opened
    rows = opened.client.schedules.all(opened.project.name)
    now_us = SystemClock().now_us()
    return [
        _overview(scheduled, flow, rows.get(name), now_us)
        for name, flow in sorted(scheduled.flows.items())
    ]


def _overview(
    scheduled: Scheduled, flow: FlowDefinition, row: ScheduleRow | None, now_us: int
) -> Overview:
    if is_custom(flow.schedule) and row is not None and row.schedule == flow.schedule:
        # The scheduler has asked its timetable.
        return Overview(flow, row, row.next_us or None, "" if row.next_us else _UNKNOWN)
    try:
        following = next(scheduled.coming([flow], now_us), None)
    except OstinatoError as error:
        return Overview(flow, row, None, str(error))
    return Overview(flow, row, following.at_us if following else None)


def print_overview(found: Sequence[Overview], project: Project) -> None:
    """Print schedules as a table."""
    rows = [
        [
            each.flow.name,
            each.flow.schedule,
            each.flow.timezone or project.settings.timezone or "UTC",
            _next_text(each, project),
            moment(each.row.last_tick_us) if each.row and each.row.last_tick_us else "",
        ]
        for each in found
    ]
    print_table(["FLOW", "SCHEDULE", "ZONE", "NEXT", "LAST"], rows, _NOTHING)
    for each in found:
        if each.problem and not each.is_paused:
            click.echo(f"warning: {each.flow.name}: {each.problem}", err=True)


def _next_text(each: Overview, project: Project) -> str:
    if each.is_paused:
        assert each.row is not None
        return f"paused by {each.row.changed_by}"
    if each.problem:
        return "unknown"
    if each.next_us is not None:
        return local_text(each.next_us, each.flow, project)
    return _WORDS.get(each.flow.schedule, "never again")


def overview_as_json(each: Overview) -> Json:
    """Return a schedule as JSON."""
    row = each.row
    return {
        "flow": each.flow.name,
        "schedule": each.flow.schedule,
        "timezone": each.flow.timezone or None,
        "is_paused": each.is_paused,
        "changed_by": (row.changed_by or None) if row else None,
        "next": iso(each.next_us) if each.next_us else None,
        "last_tick": iso(row.last_tick_us) if row and row.last_tick_us else None,
        "catchup": each.flow.catchup,
        "problem": each.problem or None,
    }


# When they fire


def local_text(at_us: int, flow: FlowDefinition, project: Project) -> str:
    """Return a moment as the clocks of a flow's zone show it."""
    zone = zone_of(flow.timezone or project.settings.timezone)
    local = moment_of(at_us).astimezone(zone)
    return f"{local:%a %Y-%m-%d %H:%M:%S %Z}"


def next_ones(
    scheduled: Scheduled, name: str | None, after_us: int | None, count: int
) -> list[Coming]:
    """Return the coming moments of a flow, or of all that are not paused.

    Raises:
        UsageError: There is no such flow, or its schedule has no moments.
    """
    opened = scheduled.opened
    if after_us is None:
        after_us = SystemClock().now_us()
    if name is not None:
        flow = scheduled.flow(name)
        if flow.schedule in WITHOUT_TICKS:
            message = f"the schedule {flow.schedule} of {name!r} has no moments of its own"
            raise UsageError(message)
        flows = [flow]
    else:
        paused = opened.client.schedules.paused(opened.project.name)
        flows = [flow for flow in scheduled.flows.values() if flow.name not in paused]
        flows = [flow for flow in flows if _is_answering(scheduled, flow, after_us)]
    return list(islice(scheduled.coming(flows, after_us), count))


def _is_answering(scheduled: Scheduled, flow: FlowDefinition, after_us: int) -> bool:
    """Whether a flow can say when it fires; one that cannot does not hide the others."""
    try:
        next(scheduled.coming([flow], after_us), None)
    except OstinatoError as error:
        click.echo(f"warning: {error}", err=True)
        return False
    return True


def print_coming(
    found: Sequence[Coming], flows: Mapping[str, FlowDefinition], project: Project
) -> None:
    """Print coming moments as a table."""
    rows = []
    for each in found:
        flow = flows[each.flow]
        at = local_text(each.at_us, flow, project)
        date, start, end = (
            local_text(us, flow, project)[4:]
            for us in (each.occurrence.logical_us, each.occurrence.start_us, each.occurrence.end_us)
        )
        rows.append([at, each.flow, date, f"{start} to {end}"])
    print_table(["AT", "FLOW", "LOGICAL DATE", "DATA"], rows, "nothing fires")


def coming_as_json(each: Coming) -> Json:
    """Return a coming moment as JSON."""
    return {
        "at": iso(each.at_us),
        "flow": each.flow,
        "tick": iso(each.occurrence.tick_us),
        "logical_date": iso(each.occurrence.logical_us),
        "interval_start": iso(each.occurrence.start_us),
        "interval_end": iso(each.occurrence.end_us),
    }


# What came of them


def print_ticks(rows: Sequence[ScheduleTickRow], runs: Mapping[int, str]) -> None:
    """Print ticks as a table.

    Args:
        rows: The ticks.
        runs: What people call the runs, by their ids.
    """
    lines = [
        [
            moment(row.tick_us) if row.tick_us else "",
            row.outcome,
            runs.get(row.run_id, str(row.run_id) if row.run_id else ""),
            f"{max(row.at_us - row.tick_us, 0) / 1e6:.1f} s" if row.tick_us else "",
            row.reason,
        ]
        for row in rows
    ]
    print_table(["TICK", "OUTCOME", "RUN", "LATE", "WHY"], lines, "no ticks yet")


def tick_as_json(row: ScheduleTickRow) -> Json:
    """Return a tick as JSON."""
    return {
        "tick": iso(row.tick_us) if row.tick_us else None,
        "decided": iso(row.at_us),
        "outcome": row.outcome,
        "run_id": str(row.run_id) if row.run_id else None,
        "reason": row.reason or None,
    }
