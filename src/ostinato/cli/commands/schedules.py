"""This module is ``ostinato schedules``: when flows fire, and what came of it."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ostinato.cli import options

if TYPE_CHECKING:
    from ostinato.cli.schedule_view import Scheduled
    from ostinato.store.records import RunRow

_NO_SCHEDULER = "note: no scheduler is alive; ostinato dev or ostinato scheduler fires schedules"


@click.group("schedules", short_help="See and steer when flows fire.")
def command() -> None:
    """See and steer when flows fire by themselves.

    A scheduler fires them: `ostinato dev` or `ostinato scheduler`. FLOW is the name of a flow.
    """


@command.command("list")
@options.environment
@options.project
@options.output("text", "json")
def list_(environment: str | None, project: Path | None, output: str) -> None:
    """List all schedules: when they fire next, when they did last, and which are paused."""
    from ostinato.cli import as_json, schedule_view

    with schedule_view.open_scheduled(project, environment) as scheduled:
        found = schedule_view.overview(scheduled)
        is_served = scheduled.opened.client.is_served_by("scheduler")
    if output == "json":
        as_json.echo([schedule_view.overview_as_json(each) for each in found])
        return
    schedule_view.print_overview(found, scheduled.opened.project)
    if found and not is_served:
        click.echo(_NO_SCHEDULER, err=True)


@command.command("next")
@click.argument("flow", required=False)
@click.option(
    "-n",
    "--count",
    type=click.IntRange(min=1, max=1000),
    default=10,
    show_default=True,
    help="How many moments.",
)
@click.option(
    "--after", metavar="DATE", help="Those after this moment, such as 2025-03-30; now by default."
)
@options.environment
@options.project
@options.output("text", "json")
def next_(
    *,
    flow: str | None,
    count: int,
    after: str | None,
    environment: str | None,
    project: Path | None,
    output: str,
) -> None:
    """Show the coming moments of a flow, or of all, and for which data their runs stand."""
    from ostinato.cli import as_json, schedule_view
    from ostinato.client.parameters import parse_moment_us

    with schedule_view.open_scheduled(project, environment) as scheduled:
        zone = scheduled.opened.project.settings.timezone
        if flow is not None:
            zone = scheduled.flow(flow).timezone or zone
        after_us = parse_moment_us(after, zone)
        found = schedule_view.next_ones(scheduled, flow, after_us, count)
    if output == "json":
        as_json.echo([schedule_view.coming_as_json(each) for each in found])
    else:
        schedule_view.print_coming(found, scheduled.flows, scheduled.opened.project)


@command.command("ticks")
@click.argument("flow")
@click.option(
    "--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many at most."
)
@options.project
@options.output("text", "json")
def ticks(flow: str, limit: int, project: Path | None, output: str) -> None:
    """Show what came of the moments of a schedule, newest first, and why; 50 are kept."""
    from ostinato.cli import as_json, schedule_view
    from ostinato.cli.opening import open_runs
    from ostinato.model.identity import RunId

    with open_runs(project) as opened:
        rows = opened.client.schedules.ticks(opened.project.name, flow, limit=limit)
        runs: dict[int, str] = {}
        for row in rows if output == "text" else ():
            run = opened.store.run(RunId(row.run_id)) if row.run_id else None
            if run is not None:
                runs[row.run_id] = f"{run.flow}#{run.number}"
    if output == "json":
        as_json.echo([schedule_view.tick_as_json(row) for row in rows])
    else:
        schedule_view.print_ticks(rows, runs)


@command.command("pause")
@click.argument("flows", metavar="FLOW...", nargs=-1)
@click.option("--all", "is_all", is_flag=True, help="All schedules.")
@options.environment
@options.project
def pause(
    flows: tuple[str, ...], *, is_all: bool, environment: str | None, project: Path | None
) -> None:
    """Have schedules make no runs until they are resumed; runs that are live go on."""
    for name in _steer(flows, environment, project, is_all=is_all, is_paused=True):
        click.echo(f"{name} is paused")


@command.command("resume")
@click.argument("flows", metavar="FLOW...", nargs=-1)
@click.option("--all", "is_all", is_flag=True, help="All schedules.")
@options.environment
@options.project
def resume(
    flows: tuple[str, ...], *, is_all: bool, environment: str | None, project: Path | None
) -> None:
    """Have paused schedules go on: from now, with catch-up from where they stopped."""
    for name in _steer(flows, environment, project, is_all=is_all, is_paused=False):
        click.echo(f"{name} goes on")


@command.command("trigger")
@click.argument("flow")
@options.environment
@options.project
@options.output("text", "json")
def trigger(flow: str, environment: str | None, project: Path | None, output: str) -> None:
    """Make a run of a flow now, with the parameters of its schedule; also of a paused one."""
    from ostinato.cli import as_json, schedule_view
    from ostinato.cli.opening import title_of

    with schedule_view.open_scheduled(project, environment) as scheduled:
        row = _trigger(scheduled, flow)
        if output == "json":
            as_json.echo(as_json.run(row))
            return
        click.echo(f"{title_of(row)} is asked for")
        if not scheduled.opened.client.is_served_by("worker"):
            click.echo("note: no worker is alive; it waits for one", err=True)


def _trigger(scheduled: "Scheduled", name: str) -> "RunRow":
    from ostinato.client.new_runs import SERVICE, code_version, run_to_create
    from ostinato.client.parameters import validate_params
    from ostinato.clock import SystemClock

    flow, opened = scheduled.flow(name), scheduled.opened
    opened.store.save_manifest(scheduled.version, opened.project.name, scheduled.data)
    new = run_to_create(
        flow,
        scheduled.version,
        validate_params(flow, flow.schedule_params),
        project=opened.project,
        date_us=SystemClock().now_us(),
        code=code_version(opened.project),
        home=SERVICE,
    )
    return opened.client.create_runs([new])[0]


def _steer(
    flows: tuple[str, ...],
    environment: str | None,
    project: Path | None,
    *,
    is_all: bool,
    is_paused: bool,
) -> list[str]:
    """Pause or resume, and return the names of the flows."""
    from ostinato.cli import schedule_view
    from ostinato.cli.opening import user_name

    if bool(flows) == is_all:
        raise click.UsageError("name flows, or say --all")
    with schedule_view.open_scheduled(project, environment) as scheduled:
        names = [scheduled.flow(name).name for name in flows] or list(scheduled.flows)
        opened = scheduled.opened
        schedules = opened.client.schedules
        change = schedules.pause if is_paused else schedules.resume
        change(opened.project.name, names, user_name())
    return names
