"""This module shows backfills: as lines of text, and in the form that programs read."""

from collections.abc import Iterable, Iterator
from datetime import datetime, tzinfo
from typing import Any

import click
import msgspec

from ostinato.cli.display import counted, iso
from ostinato.cli.opening import Opened, name_of
from ostinato.client.backfills import PlannedDate, Progress
from ostinato.engine.timetable import zone_of
from ostinato.model.backfill import BackfillDateRow, BackfillRow, DateState
from ostinato.model.state import RunState
from ostinato.store.records import RunRow

#: Ranges of dates that are listed of each state; the others are counted.
MAX_RANGES = 8

#: Failed runs that are named.
MAX_NAMED = 5

_COLOURS = {
    DateState.SUCCEEDED: "green",
    DateState.FAILED: "red",
    DateState.CANCELLED: "yellow",
    DateState.ACTIVE: "cyan",
}


class Dates:
    """Write dates as people do, in the zone of a flow.

    Args:
        opened: The project.
        row: The backfill.
    """

    def __init__(self, opened: Opened, row: BackfillRow) -> None:
        flow = opened.client.flow_at(row.flow, row.manifest_version)
        timezone = opened.project.settings.timezone
        self._zone = zone_of((flow.timezone if flow is not None else "") or timezone)

    def __call__(self, date_us: int) -> str:
        """Return a date; without its time where that is midnight."""
        return date_text(date_us, self._zone)


def date_text(date_us: int, zone: tzinfo) -> str:
    """Return a date as people write it; without its time where that is midnight.

    >>> date_text(86_400_000_000, zone_of("UTC")), date_text(3_600_000_000, zone_of("UTC"))
    ('1970-01-02', '1970-01-01T01:00')
    """
    moment = datetime.fromtimestamp(date_us / 1e6, zone)
    if (moment.hour, moment.minute, moment.second) == (0, 0, 0):
        return moment.strftime("%Y-%m-%d")
    return moment.strftime("%Y-%m-%dT%H:%M:%S").removesuffix(":00")


def print_plan(plan: list[PlannedDate], zone: tzinfo) -> None:
    """Print what a backfill would do with each date."""
    for each in plan:
        date = date_text(each.date.date_us, zone)
        known = ""
        if each.known is not None:
            known = f"  #{each.known.number} {RunState(each.known.state).label}"
        click.echo(f"{date}  {'run' if each.is_run else 'skip'}{known}")
    wanted = sum(each.is_run for each in plan)
    click.echo(f"{wanted} of {counted(len(plan), 'date')} would be run; nothing was done")


def plan_as_json(plan: list[PlannedDate]) -> list[dict[str, Any]]:
    """Return what a backfill would do with each date."""
    return [
        {
            "logical_date": iso(each.date.date_us),
            "data_interval_start": iso(each.date.interval_start_us),
            "data_interval_end": iso(each.date.interval_end_us),
            "is_run": each.is_run,
            "known_run": None if each.known is None else str(each.known.id),
        }
        for each in plan
    ]


def as_json(progress: Progress) -> dict[str, Any]:
    """Return a backfill with how far it has come."""
    row = progress.backfill
    return {
        "id": row.id,
        "project": row.project,
        "flow": row.flow,
        "state": row.state,
        "from": iso(progress.first_us),
        "to": iso(progress.last_us),
        "params": msgspec.json.decode(row.params),
        "reprocess": row.reprocess,
        "max_active": row.max_active,
        "by": row.by,
        "created_at": iso(row.created_us),
        "ended_at": iso(row.ended_us),
        "total": progress.total,
        "done": progress.done,
        "counts": {state.value: count for state, count in progress.counts.items()},
    }


def dates_as_json(dates: Iterable[BackfillDateRow]) -> list[dict[str, Any]]:
    """Return the dates of a backfill."""
    return [
        {
            "logical_date": iso(date.date_us),
            "state": date.state,
            "run_id": str(date.run_id) if date.run_id else None,
            "tries": date.tries,
        }
        for date in dates
    ]


def summary(progress: Progress) -> str:
    """Return how far a backfill has come, in a few words.

    >>> row = BackfillRow(3, "shop", "etl", "", b"{}", "none", 1, "running", "")
    >>> summary(Progress(row, {DateState.FAILED: 1, DateState.WAITING: 3}, 0, 0))
    '1 of 4 dates done: 1 failed'
    """
    parts = [
        f"{progress.counts[state]} {state.value}"
        for state in DateState
        if state in progress.counts and state is not DateState.WAITING
    ]
    told = f": {', '.join(parts)}" if parts else ""
    return f"{progress.done} of {counted(progress.total, 'date')} done{told}"


def print_backfill(opened: Opened, progress: Progress) -> None:
    """Print a backfill, and which dates are in which state."""
    row, text = progress.backfill, Dates(opened, progress.backfill)
    click.echo(f"backfill {row.id} of {row.flow} is {row.state}, {summary(progress)}")
    first, last = text(progress.first_us), text(progress.last_us)
    by = f", by {row.by}" if row.by else ""
    limit = f"at most {row.max_active} at a time"
    click.echo(f"{first} to {last}, reprocesses {row.reprocess}, {limit}{by}")
    if row.params != b"{}":
        click.echo(f"parameters: {row.params.decode()}")
    ranges = list(_ranges(sorted(opened.client.backfills.dates(row), key=lambda one: one.date_us)))
    for state in DateState:
        own = [each for each in ranges if each[0].state == state]
        if own:
            shown = ", ".join(_range_text(each, text) for each in own[:MAX_RANGES])
            more = f" and {len(own) - MAX_RANGES} more ranges" if len(own) > MAX_RANGES else ""
            label = f"{progress.counts.get(state, 0):>6} {state.value:<9}"
            click.echo(f"{click.style(label, fg=_COLOURS.get(state))}  {shown}{more}")
    _print_failed(opened, progress, text)


def _print_failed(opened: Opened, progress: Progress, text: Dates) -> None:
    row = progress.backfill
    failed = opened.client.backfills.some_dates(row, DateState.FAILED, MAX_NAMED)
    for date in failed:
        run = opened.client.find(date.run_id)
        if run is not None:
            click.echo(f"  {text(date.date_us)}  {name_of(run)}{_why(run)}")
    if failed:
        again = f"ostinato backfill retry {row.id}"
        click.echo(f"See: ostinato show RUN   Again: {again}")


def _why(run: RunRow) -> str:
    return f": {run.reason}" if run.reason else ""


def _ranges(dates: list[BackfillDateRow]) -> Iterator[list[BackfillDateRow]]:
    """Yield dates that follow each other in the same state."""
    current: list[BackfillDateRow] = []
    for date in dates:
        if current and current[-1].state != date.state:
            yield current
            current = []
        current.append(date)
    if current:
        yield current


def _range_text(dates: list[BackfillDateRow], text: Dates) -> str:
    first, last = text(dates[0].date_us), text(dates[-1].date_us)
    return first if first == last else f"{first} to {last}"
