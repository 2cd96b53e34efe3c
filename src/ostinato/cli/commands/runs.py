"""This module is ``ostinato runs``: list runs."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ostinato.cli import options
from ostinato.model.state import RunState

if TYPE_CHECKING:
    from ostinato.client.local import LocalClient
    from ostinato.store.records import RunRow

_STATES = [state.label for state in RunState]


@click.command("runs")
@click.option("--flow", metavar="NAME", default="", help="Of this flow only.")
@click.option(
    "--state",
    "states",
    type=click.Choice(_STATES),
    multiple=True,
    help="In this state only. Can be given again.",
)
@click.option("--tag", metavar="TAG", default="", help="With this tag only.")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="How many at most.",
)
@options.project
@options.output("text", "json")
def command(
    flow: str, states: tuple[str, ...], tag: str, limit: int, project: Path | None, output: str
) -> None:
    """List runs, newest first."""
    from ostinato.cli import as_json
    from ostinato.cli.opening import is_interrupted, open_runs
    from ostinato.errors import RunNotFound
    from ostinato.store.protocol import RunFilter

    wanted = tuple(RunState[state.upper()] for state in states)
    try:
        with open_runs(project) as opened:
            which = RunFilter(flow=flow, states=wanted, tag=tag)
            rows, more = opened.client.runs(which, limit=limit)
            if output == "json":
                as_json.echo(
                    [
                        as_json.run(row, is_interrupted=is_interrupted(opened.client, row))
                        for row in rows
                    ]
                )
            else:
                _print(opened.client, rows, has_more=bool(more))
    except RunNotFound as nothing:
        # An empty list is an answer.
        click.echo("[]" if output == "json" else nothing.message)


def _print(client: "LocalClient", rows: "list[RunRow]", *, has_more: bool) -> None:
    from ostinato.cli.display import between, colour, columns, icon, moment
    from ostinato.cli.opening import is_interrupted, title_of, unfinished

    if not rows:
        click.echo("no such runs")
        return
    table = [["RUN", "STATE", "STARTED", "TOOK", "LOGICAL DATE", "WHY"]]
    for row in rows:
        note = unfinished(row, "resume") if is_interrupted(client, row) else row.reason
        if row.state is RunState.PAUSED and not note:
            note = "waits for a person: ostinato inputs"
        cells = [title_of(row), f"{icon(row.state)} {row.state.label}", moment(row.started_us)]
        took = between(row.started_us, row.ended_us)
        table.append([*cells, took, moment(row.logical_date_us), note])
    header, *lines = columns(table)
    click.echo(click.style(header, dim=True))
    for row, line in zip(rows, lines, strict=True):
        click.echo(click.style(line, fg=colour(row.state)))
    if has_more:
        click.echo(f"… and more: --limit {2 * len(rows)}")
