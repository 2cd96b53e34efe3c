"""This module is ``ostinato cancel``: end a run before its time."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ostinato.cli import options

if TYPE_CHECKING:
    from ostinato.cli.opening import Opened
    from ostinato.client.local import LocalClient
    from ostinato.store.records import RunRow

#: Seconds that the command waits for a run to end.
WAIT_S = 30.0

_LOOK_EVERY_S = 0.1


@click.command("cancel", short_help="End a run before its time.")
@click.argument("run")
@options.project
@options.output("text", "json")
def command(run: str, project: Path | None, output: str) -> None:
    """Cancel RUN: what runs is stopped, and nothing more begins.

    RUN is flow#17, an id, the name of a flow for its newest run, or `last`. A run that another
    process drives is cancelled there.
    """
    from ostinato.cli import again
    from ostinato.cli.opening import name_of, open_runs
    from ostinato.errors import RunOwned, UsageError

    with open_runs(project) as opened:
        row = opened.client.run(run)
        if row.state.is_terminal:
            raise UsageError(f"run {name_of(row)} has ended: it is {row.state.label}")
        if _is_left_to_owner(opened, row):
            _ask(opened, row, output)
            return
    try:
        again.settle(again.known_run(str(row.id), project), "ostinato cancel", output=output)
    except RunOwned:
        # A worker has taken it this very moment.
        with open_runs(project) as opened:
            _ask(opened, row, output)


def _ask(opened: "Opened", row: "RunRow", output: str) -> None:
    """Have a run cancelled by who drives it, and say what became of it."""
    from ostinato.cli import as_json
    from ostinato.cli.display import icon
    from ostinato.cli.opening import name_of

    opened.client.cancel(row.id, "ostinato cancel")
    row = _wait(opened.client, row)
    if output == "json":
        as_json.echo(as_json.run(row))
    else:
        click.echo(f"{icon(row.state)} {name_of(row)} {row.state.label}")


def _is_left_to_owner(opened: "Opened", row: "RunRow") -> bool:
    """Whether somebody drives a run, or a worker is about to; others are ended here."""
    from ostinato.client.new_runs import SERVICE
    from ostinato.model.state import RunState

    if opened.client.owner(row) is not None:
        return True
    has_begun = row.state is not RunState.QUEUED
    return has_begun and row.home == SERVICE and opened.client.is_served_by("worker")


def _wait(client: "LocalClient", row: "RunRow") -> "RunRow":
    """Return the run once it has ended, or as it is after a while."""
    import time

    from ostinato.clock import SystemClock

    clock = SystemClock()
    deadline_s = clock.monotonic_s() + WAIT_S
    while not row.state.is_terminal and clock.monotonic_s() < deadline_s:
        time.sleep(_LOOK_EVERY_S)
        row = client.run(str(row.id))
    return row
