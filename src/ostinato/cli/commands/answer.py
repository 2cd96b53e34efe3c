"""This module is ``ostinato answer``: answer a task that waits for a person."""

from pathlib import Path
from typing import Any

import click

from ostinato.cli import options


@click.command("answer", short_help="Answer a task that waits for a person.")
@click.argument("run")
@click.argument("task")
@click.argument("value", required=False)
@click.option("--approve", "decision", flag_value="approve", help="Approve: the same as true.")
@click.option("--reject", "decision", flag_value="reject", help="Reject: the same as false.")
@click.option("--by", default="", help="Who answers; by default who runs the command.")
@options.project
def command(
    run: str, task: str, value: str | None, decision: str | None, by: str, project: Path | None
) -> None:
    """Answer TASK of RUN with VALUE, which is JSON or text.

    RUN is flow#17, an id, the name of a flow for its newest run, or `last`; TASK is a task or an
    index of a mapped one, such as load[3], which may be left out where one asks. `ostinato inputs`
    shows what waits.
    """
    from ostinato.cli.opening import name_of, open_runs, parse_task_run, user_name
    from ostinato.client.answers import read_answer
    from ostinato.client.new_runs import SERVICE
    from ostinato.errors import UsageError
    from ostinato.model.state import RunState

    if (value is None) == (decision is None):
        raise UsageError("answer takes one of VALUE, --approve and --reject")
    with open_runs(project) as opened:
        client = opened.client
        row = client.run(run)
        task_id, path = parse_task_run(task, client.flow(row), client.counts(row.id))
        answer: Any = decision == "approve"
        asked = [one for one in client.inputs(row.id) if one.task_id == task_id]
        if path is None and len(asked) == 1:
            # Of a step that asks alone, nobody needs to know the number.
            path = asked[0].path
        if value is not None:
            answer = read_answer(asked[0].request, value) if asked else value
        client.answer(row.id, task_id, path or "", answer, by or user_name())
        click.echo(f"{name_of(row)} {task}: answered")
        is_left = row.home == SERVICE and client.is_served_by("worker")
        if client.owner(row) is None and not is_left:
            name = name_of(row)
            is_suspended = row.state is RunState.PAUSED
            how = "is suspended" if is_suspended else "was interrupted"
            click.echo(f"the run {how}: ostinato resume '{name}' goes on with it")
