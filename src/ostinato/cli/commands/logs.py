"""This module is ``ostinato logs``: what tasks wrote."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ostinato.cli import options

if TYPE_CHECKING:
    from ostinato.cli.opening import Opened
    from ostinato.store.logs import LoggedLine
    from ostinato.store.records import RunRow

#: Seconds between two looks at a log that is followed.
FOLLOW_EVERY_S = 0.25

_COLOURS = {"WARNING": "yellow", "ERROR": "red", "CRITICAL": "red", "DEBUG": "bright_black"}


@click.command("logs", short_help="Print what tasks wrote.")
@click.argument("run", default="last")
@click.argument("task", default="")
@click.option("--follow", is_flag=True, help="Go on with new lines until the run has ended.")
@click.option(
    "--attempt", type=click.IntRange(min=1), help="Of this attempt only; by default of all."
)
@options.project
@options.output("text", "json")
def command(
    *, run: str, task: str, follow: bool, attempt: int | None, project: Path | None, output: str
) -> None:
    """Print what the tasks of RUN wrote, in the order of time; or what TASK of it wrote.

    RUN is flow#17, an id, the name of a flow for its newest run, or `last`, as without it. TASK
    is load, or load[3] for one task run of a mapped task. With --format json each line is an
    object.
    """
    from ostinato.cli.opening import open_runs, parse_task_run

    with open_runs(project) as opened:
        row = opened.client.run(run)
        task_id, path = "", None
        if task:
            task_id, path = parse_task_run(
                task, opened.client.flow(row), opened.client.counts(row.id)
            )
        show = _printer(path, attempt, has_task=bool(task), output=output)
        if follow:
            _follow(opened, row, task_id, show)
        else:
            for line in opened.client.log(row.id, task_id=task_id).read():
                show(line)


def _follow(
    opened: "Opened", row: "RunRow", task_id: str, show: "Callable[[LoggedLine], None]"
) -> None:
    import time

    from ostinato.cli.opening import is_interrupted

    log = opened.client.log(row.id, task_id=task_id)
    while True:
        current = opened.client.run(str(row.id))
        # Looked at before the log is read: what came until the end is read too.
        is_over = current.state.is_terminal or is_interrupted(opened.client, current)
        for line in log.read():
            show(line)
        if is_over:
            return
        time.sleep(FOLLOW_EVERY_S)


def _printer(
    path: str | None, attempt: int | None, *, has_task: bool, output: str
) -> "Callable[[LoggedLine], None]":
    """Return what prints a line, if it is of the path and attempt that were asked for."""
    from ostinato.cli import as_json
    from ostinato.cli.display import clock
    from ostinato.model.identity import TaskRunKey, format_path

    def show(line: "LoggedLine") -> None:
        if path is not None and format_path(line.path) != path:
            return
        if attempt is not None and line.attempt != attempt:
            return
        name = str(TaskRunKey(line.task_id, line.path))
        record = line.record
        if output == "json":
            as_json.echo(as_json.log_line(name, line.attempt, record))
            return
        who = "" if has_task and not line.path else f"{name} | "
        level = f"{record.level} " if record.level in ("WARNING", "ERROR", "CRITICAL") else ""
        text = f"{clock(record.at_us)} {who}{level}{record.message}"
        click.echo(click.style(text, fg=_COLOURS.get(record.level)))

    return show
