"""This module is ``ostinato backfill``: run a flow for a range of dates, by the service."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ostinato.cli import options
from ostinato.model.backfill import Reprocess

if TYPE_CHECKING:
    from ostinato.cli.opening import Opened
    from ostinato.cli.service_flows import ServiceFlow
    from ostinato.model.backfill import BackfillRow

#: Said where a backfill has to wait for long.
_NO_SCHEDULER = "note: no scheduler is alive; it begins with ostinato dev or ostinato scheduler"


@click.group("backfill", short_help="Run a flow for a range of dates.")
def command() -> None:
    """Run a flow for a range of dates, as many at a time as wanted.

    The scheduler makes the runs, and workers drive them; what is scheduled comes before them.
    ID is the number of a backfill, or `last`.
    """


@command.command("create", short_help="Begin a backfill.")
@click.argument("flow")
@click.option(
    "--from",
    "first",
    metavar="DATE",
    required=True,
    help="First date, such as 2025-01-31 or 2025-01-31T06:00, in the flow's time zone.",
)
@click.option("--to", "last", metavar="DATE", required=True, help="Last date, with all of its day.")
@click.option(
    "--every",
    metavar="PERIOD",
    default="",
    help="hour, day, week, month, quarter, year or a cron expression, in place of the flow's "
    "schedule.",
)
@options.params
@click.option(
    "--reprocess",
    type=click.Choice([each.value for each in Reprocess]),
    default=Reprocess.NONE.value,
    show_default=True,
    help="Which dates are run again that have been run before: none, those whose newest run "
    "failed or was cancelled, or all.",
)
@click.option("--backwards", "is_backwards", is_flag=True, help="The last date first.")
@click.option(
    "--max-active",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="Runs that may be live at a time.",
)
@click.option("--dry-run", "is_dry", is_flag=True, help="Only say which dates would be run.")
@options.environment
@options.project
@options.output("text", "json")
def create(
    *,
    flow: str,
    first: str,
    last: str,
    every: str,
    assignments: tuple[str, ...],
    params_file: Path | None,
    reprocess: str,
    is_backwards: bool,
    max_active: int,
    is_dry: bool,
    environment: str | None,
    project: Path | None,
    output: str,
) -> None:
    """Begin a backfill of FLOW: a run for each moment of its schedule from a date to another."""
    import msgspec

    from ostinato.cli import as_json, backfill_view, code
    from ostinato.cli.opening import user_name
    from ostinato.cli.service_flows import with_service_flow
    from ostinato.client.backfill_dates import backfill_dates, parse_range_us
    from ostinato.client.parameters import read_params
    from ostinato.engine.timetable import zone_of

    def make(found: "ServiceFlow") -> None:
        name = found.opened.project.name
        timezone = found.flow.timezone or found.opened.project.settings.timezone
        # As the scheduled runs of these dates have them.
        given = found.flow.schedule_params
        params = read_params(found.flow, assignments, params_file, given=given)
        start_us, end_us = parse_range_us(first, last, timezone)
        dates = backfill_dates(found.flow, timezone, start_us, end_us, every=every)
        dates = dates[::-1] if is_backwards else dates
        backfills = found.opened.client.backfills
        if is_dry:
            plan = backfills.plan(name, flow, dates, Reprocess(reprocess))
            if output == "json":
                as_json.echo(backfill_view.plan_as_json(plan))
            else:
                backfill_view.print_plan(plan, zone_of(timezone))
            return
        row = backfills.create(
            name,
            flow,
            found.version,
            dates,
            params=msgspec.json.encode(params),
            reprocess=Reprocess(reprocess),
            max_active=max_active,
            by=user_name(),
        )
        _say(found.opened, row, output, f"backfill {row.id} of {flow} begins: {len(dates)} dates")

    code.use_environment(environment)
    with_service_flow(flow, project, make)


@command.command("list")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="How many at most.",
)
@options.project
@options.output("text", "json")
def list_(limit: int, project: Path | None, output: str) -> None:
    """List backfills, newest first."""
    from ostinato.cli import as_json, backfill_view
    from ostinato.cli.display import moment
    from ostinato.cli.opening import open_runs
    from ostinato.cli.vault import print_table

    with open_runs(project) as opened:
        backfills = opened.client.backfills
        found = map(backfills.progress, backfills.page(opened.project.name, limit=limit))
        if output == "json":
            as_json.echo([backfill_view.as_json(each) for each in found])
            return
        rows = []
        for each in found:
            row, text = each.backfill, backfill_view.Dates(opened, each.backfill)
            dates = f"{text(each.first_us)} to {text(each.last_us)}"
            cells = [str(row.id), row.flow, row.state, dates, moment(row.created_us)]
            rows.append([*cells, backfill_view.summary(each)])
        header = ["ID", "FLOW", "STATE", "DATES", "CREATED", "PROGRESS"]
        print_table(header, rows, "no backfills")


@command.command("show")
@click.argument("id", default="last")
@options.project
@options.output("text", "json")
def show(id: str, project: Path | None, output: str) -> None:
    """Show how far a backfill has come, and which dates failed."""
    from ostinato.cli import as_json, backfill_view
    from ostinato.cli.opening import open_runs

    with open_runs(project) as opened:
        backfills = opened.client.backfills
        row = backfills.find(opened.project.name, id)
        progress = backfills.progress(row)
        if output == "json":
            dates = backfill_view.dates_as_json(backfills.dates(row))
            as_json.echo({**backfill_view.as_json(progress), "dates": dates})
        else:
            backfill_view.print_backfill(opened, progress)


@command.command("pause")
@click.argument("id")
@options.project
def pause(id: str, project: Path | None) -> None:
    """Make no more runs of a backfill until it is resumed; those that are live go on."""
    _steer(id, project, "pause", "is paused")


@command.command("resume")
@click.argument("id")
@options.project
def resume(id: str, project: Path | None) -> None:
    """Go on with a paused backfill."""
    _steer(id, project, "resume", "goes on")


@command.command("cancel")
@click.argument("id")
@options.project
def cancel(id: str, project: Path | None) -> None:
    """End a backfill before its time: its live runs are cancelled."""
    _steer(id, project, "cancel", "is being cancelled")


@command.command("retry")
@click.argument("id")
@options.project
def retry(id: str, project: Path | None) -> None:
    """Run the dates again that failed or were cancelled."""
    _steer(id, project, "retry", "goes on with what failed")


def _steer(name: str, folder: Path | None, verb: str, said: str) -> None:
    from ostinato.cli.opening import open_runs

    with open_runs(folder) as opened:
        backfills = opened.client.backfills
        row = backfills.find(opened.project.name, name)
        count = getattr(backfills, verb)(row)
        dates = f": {count} dates" if count else ""
        _say(opened, row, "text", f"backfill {row.id} of {row.flow} {said}{dates}")


def _say(opened: "Opened", row: "BackfillRow", output: str, text: str) -> None:
    from ostinato.cli import as_json, backfill_view

    if output == "json":
        as_json.echo(backfill_view.as_json(opened.client.backfills.progress(row)))
        return
    click.echo(text)
    if not opened.client.is_served_by("scheduler"):
        click.echo(_NO_SCHEDULER, err=True)
