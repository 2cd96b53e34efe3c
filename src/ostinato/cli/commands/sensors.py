"""This module is ``ostinato sensors``: what asks for runs, and what it found."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ostinato.cli import options

if TYPE_CHECKING:
    from ostinato.cli.opening import Opened


@click.group("sensors", short_help="See and steer what asks for runs.")
def command() -> None:
    """See and steer what asks for runs: sensors, and sources of messages.

    A scheduler calls them: `ostinato dev` or `ostinato scheduler`. NAME is that of a sensor, or
    the label of a source as `list` shows it, such as "webhook orders".
    """


@command.command("list")
@options.environment
@options.project
@options.output("text", "json")
def list_(environment: str | None, project: Path | None, output: str) -> None:
    """List all that the project declares, with what came of each last."""
    from ostinato.cli import as_json, sensor_view

    with sensor_view.open_declared(project, environment) as (opened, declared):
        found = sensor_view.overview(opened, declared)
    if output == "json":
        as_json.echo([sensor_view.overview_as_json(each) for each in found])
    else:
        sensor_view.print_overview(found)


@command.command("ticks")
@click.argument("name")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="How many at most.",
)
@click.option("--output", "with_output", is_flag=True, help="With what the function printed.")
@options.project
@options.output("text", "json")
def ticks(name: str, limit: int, with_output: bool, project: Path | None, output: str) -> None:  # noqa: FBT001 - click calls it so
    """Show what came of a sensor, newest first, and why."""
    from ostinato.cli import as_json, sensor_view
    from ostinato.cli.opening import open_runs

    with open_runs(project) as opened:
        rows = opened.client.sensors.ticks(opened.project.name, name, limit=limit)
    if output == "json":
        as_json.echo([sensor_view.tick_as_json(row) for row in rows])
    else:
        sensor_view.print_ticks(rows, with_output=with_output)


@command.command("pause")
@click.argument("name")
@options.project
def pause(name: str, project: Path | None) -> None:
    """Call a sensor no more until it is resumed."""
    _steer(name, project, "pause")
    click.echo(f"{name} is paused")


@command.command("resume")
@click.argument("name")
@options.project
def resume(name: str, project: Path | None) -> None:
    """Go on with a paused sensor, at once."""
    _steer(name, project, "resume")
    click.echo(f"{name} goes on")


@command.command("cursor")
@click.argument("name")
@click.option("--set", "text", metavar="TEXT", help="Have it go on from this text.")
@click.option("--reset", "is_reset", is_flag=True, help="Have it begin anew, without a cursor.")
@options.project
def cursor(name: str, text: str | None, is_reset: bool, project: Path | None) -> None:  # noqa: FBT001 - click calls it so
    """Print what a sensor keeps from tick to tick, or change it."""
    if text is not None and is_reset:
        raise click.UsageError("--set and --reset exclude each other")
    if text is None and not is_reset:
        from ostinato.cli.opening import open_runs

        with open_runs(project) as opened:
            kept = opened.client.sensors.state(opened.project.name, name).cursor
        click.echo(kept or "")
        return
    _steer(name, project, "set_cursor", text)
    click.echo(f"{name} begins anew" if text is None else f"{name} goes on from {text}")


@command.command("test")
@click.argument("name")
@click.option("--cursor", "text", metavar="TEXT", help="Its cursor; by default what it keeps.")
@click.option(
    "--run", "run", metavar="RUN", help="For a sensor of ends of runs: the run that it is told of."
)
@options.environment
@options.project
@options.output("text", "json")
@click.pass_context
def test(
    ctx: click.Context,
    *,
    name: str,
    text: str | None,
    run: str | None,
    environment: str | None,
    project: Path | None,
    output: str,
) -> None:
    """Call a sensor now and say what it asks for; no run is made, and nothing is kept."""
    from ostinato.cli import as_json, sensor_view

    result, failure, printed = sensor_view.try_out(name, project, environment, cursor=text, run=run)
    if output == "json":
        as_json.echo(sensor_view.trial_as_json(result, failure, printed))
    else:
        sensor_view.print_trial(result, failure, printed)
    ctx.exit(0 if failure is None else 1)


def _steer(name: str, folder: Path | None, verb: str, *more: Any) -> None:
    """Do something to a sensor; one that no scheduler has seen yet is made known before."""
    from ostinato.cli import sensor_view
    from ostinato.cli.opening import open_project
    from ostinato.cli.vault import project_of
    from ostinato.errors import SensorNotFound

    found = project_of(folder, None)
    if found.has_store:
        with open_project(found) as opened:
            try:
                _call(opened, verb, name, *more)
            except SensorNotFound:
                pass
            else:
                return
    with sensor_view.open_declared(folder, None) as (opened, declared):
        sensor_view.make_known(opened, sensor_view.find(declared, name))
        _call(opened, verb, name, *more)


def _call(opened: "Opened", verb: str, name: str, *more: Any) -> None:
    getattr(opened.client.sensors, verb)(opened.project.name, name, *more)
