"""This module is ``ostinato trigger``: ask for a run that the service drives."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ostinato.cli import options

if TYPE_CHECKING:
    from ostinato.cli.opening import Opened
    from ostinato.cli.service_flows import ServiceFlow
    from ostinato.store.records import RunRow

_LOOK_EVERY_S = 0.1

#: Said where a run has to wait for long.
NO_WORKER = "note: no worker is alive; it begins with ostinato dev or ostinato worker"


@click.command("trigger", short_help="Ask for a run that the service drives.")
@click.argument("flow")
@options.params
@click.option(
    "--date",
    metavar="DATE",
    help="Logical date, in the flow's time zone; now by default.",
)
@click.option(
    "--key",
    metavar="TEXT",
    default="",
    help="There is one run of the flow with it: asking again returns the first.",
)
@click.option("--tag", "tags", metavar="TAG", multiple=True, help="For searching. Can be repeated.")
@click.option("--wait", "is_waiting", is_flag=True, help="Return when the run has ended.")
@options.environment
@options.project
@options.output("text", "json")
@click.pass_context
def command(
    ctx: click.Context,
    *,
    flow: str,
    assignments: tuple[str, ...],
    params_file: Path | None,
    date: str | None,
    key: str,
    tags: tuple[str, ...],
    is_waiting: bool,
    environment: str | None,
    project: Path | None,
    output: str,
) -> None:
    """Ask for a run of FLOW, which a worker drives: `ostinato dev` or `ostinato worker`.

    The run is recorded at once and begins when a worker takes it.
    """
    from ostinato.cli import code
    from ostinato.cli.service_flows import with_service_flow

    code.use_environment(environment)

    def ask(found: "ServiceFlow") -> int:
        row, is_new = _create(found, assignments, params_file, date=date, key=key, tags=tags)
        _say_created(found.opened, row, is_new=is_new, output=output, is_waiting=is_waiting)
        return _wait(found.opened, row, output) if is_waiting else 0

    ctx.exit(with_service_flow(flow, project, ask))


def _create(
    found: "ServiceFlow",
    assignments: tuple[str, ...],
    params_file: Path | None,
    *,
    date: str | None,
    key: str,
    tags: tuple[str, ...],
) -> "tuple[RunRow, bool]":
    """Return the run, and whether it is there only since now."""
    from ostinato.client.new_runs import SERVICE, code_version, run_to_create
    from ostinato.client.parameters import parse_moment_us, read_params
    from ostinato.clock import SystemClock

    project = found.opened.project
    timezone = found.flow.timezone or project.settings.timezone
    now_us = SystemClock().now_us()
    date_us = parse_moment_us(date, timezone)
    new = run_to_create(
        found.flow,
        found.version,
        read_params(found.flow, assignments, params_file),
        project=project,
        date_us=now_us if date_us is None else date_us,
        code=code_version(project),
        home=SERVICE,
        tags=tags,
        logical_key=f"api:{key}" if key else None,
    )
    row = found.opened.client.create_runs([new])[0]
    return row, row.created_us >= now_us


def _say_created(
    opened: "Opened", row: "RunRow", *, is_new: bool, is_waiting: bool, output: str
) -> None:
    from ostinato.cli import as_json
    from ostinato.cli.display import icon
    from ostinato.cli.opening import title_of

    if output == "text":
        what = "is asked for" if is_new else f"was asked for before: it is {row.state.label}"
        click.echo(f"{icon(row.state)} {title_of(row)} {what}")
        # Outside of projects scripts serve their flows themselves.
        if not (opened.project.is_implicit or opened.client.is_served_by("worker")):
            click.echo(NO_WORKER, err=True)
    elif not is_waiting:
        as_json.echo({**as_json.run(row), "is_new": is_new})


def _wait(opened: "Opened", row: "RunRow", output: str) -> int:
    """Return the exit code of the run once it has ended, or waits for a person."""
    import time

    from ostinato.cli import as_json, driving
    from ostinato.model.state import RunState

    while not (row.state.is_terminal or row.state is RunState.PAUSED):
        time.sleep(_LOOK_EVERY_S)
        row = opened.client.run(str(row.id))
    if output == "json":
        as_json.echo(driving.summary_as_json(opened.client, row))
    else:
        driving.print_summary(opened.client, row)
    return driving.exit_code(row)
