"""This module is ``ostinato show``: what became of a run, or of one of its tasks."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ostinato.cli import options

if TYPE_CHECKING:
    from ostinato.cli.opening import Opened
    from ostinato.client.views import NoticeView, TaskRunView, ValueView
    from ostinato.store.records import RunRow

#: Task runs of a mapped task that are listed; the failed ones first.
MAX_LISTED = 20

#: Tasks that are explained.
MAX_REASONS = 200

#: Characters of a value that are shown.
MAX_VALUE_CHARACTERS = 500


@click.command("show", short_help="Show a run, or a task of it.")
@click.argument("run", default="last")
@click.argument("task", default="")
@options.project
@options.output("text", "json")
def command(run: str, task: str, project: Path | None, output: str) -> None:
    """Show RUN: its tasks, and what failed; or TASK of it, with attempts and result.

    RUN is flow#17, an id, the name of a flow for its newest run, or `last`, as without it. TASK
    is load, or load[3] for one task run of a mapped task.
    """
    from ostinato.cli import as_json
    from ostinato.cli.opening import open_runs

    with open_runs(project) as opened:
        row = opened.client.run(run)
        if task and output == "json":
            as_json.echo(_task_as_json(opened, row, task))
        elif task:
            _print_task(opened, row, task)
        elif output == "json":
            as_json.echo(_run_as_json(opened, row))
        else:
            _print_run(opened, row)


def _run_as_json(opened: "Opened", row: "RunRow") -> dict[str, Any]:
    from ostinato.cli import as_json
    from ostinato.cli.opening import is_interrupted

    return {
        **as_json.run(row, is_interrupted=is_interrupted(opened.client, row)),
        "counts": as_json.counts(opened.client.counts(row.id)),
        "task_runs": [as_json.task_run(view) for view in opened.client.task_runs(row.id)],
        "notices": [as_json.notice(view) for view in opened.client.notices(row.id)],
    }


def _print_run(opened: "Opened", row: "RunRow") -> None:
    import msgspec

    from ostinato.cli.display import between, columns, icon, moment
    from ostinato.cli.opening import is_interrupted, name_of, title_of, unfinished
    from ostinato.client.answers import answer_command

    client = opened.client
    note = row.reason
    if is_interrupted(client, row):
        note = unfinished(row, f"ostinato resume '{name_of(row)}'")
    click.echo(
        f"{icon(row.state)} {title_of(row)} {row.state.label}" + (f": {note}" if note else "")
    )
    facts = [
        ["id", str(row.id)],
        ["started", moment(row.started_us)],
        ["took", between(row.started_us, row.ended_us)],
        ["logical date", moment(row.logical_date_us)],
        ["data interval", _interval(row)],
        ["params", row.params.decode()],
        ["tags", ", ".join(row.tags)],
        ["commit", msgspec.json.decode(row.code or b"{}").get("commit", "")[:12]],
    ]
    for line in columns([["  " + name, value] for name, value in facts if value]):
        click.echo(line)
    for one in client.inputs(row.id) if not row.state.is_terminal else ():
        click.echo(f"  {one.request.title}: {answer_command(name_of(row), one.name, one.request)}")
    click.echo()
    for line in _task_lines(opened, row):
        click.echo(line)
    _print_failures(opened, row)
    _print_notices(opened.client.notices(row.id))


def _print_notices(notices: "list[NoticeView]") -> None:
    if not notices:
        return
    from ostinato.cli.notices import notice_lines

    click.echo()
    for line in notice_lines(notices):
        click.echo(line)


def _interval(row: "RunRow") -> str:
    from ostinato.cli.display import moment

    if row.interval_start_us == row.interval_end_us:
        return ""
    return f"{moment(row.interval_start_us)} up to {moment(row.interval_end_us)}"


def _task_lines(opened: "Opened", row: "RunRow") -> list[str]:
    """Return a line for each task, in the order of the definition."""
    from ostinato.cli.display import columns, icon
    from ostinato.model.state import TaskRunState

    counts = opened.client.counts(row.id)
    reasons = _reasons(opened, row)
    flow = opened.client.flow(row)
    names = [task.id for task in flow.tasks] if flow is not None else []
    # The steps of a flow that is a function are in no definition.
    names += sorted(counts.keys() - set(names))
    table = []
    for name in names:
        states = counts.get(name) or {TaskRunState.PENDING: 1}
        total = sum(states.values())
        if total == 1:
            (state,) = states
            reason = f": {reasons[name]}" if reasons.get(name) else ""
            table.append([f"  {icon(state)} {name}", f"{state.label}{reason}"])
        else:
            worst = TaskRunState.FAILED if TaskRunState.FAILED in states else min(states)
            parts = ", ".join(f"{number} {state.label}" for state, number in sorted(states.items()))
            table.append([f"  {icon(worst)} {name}", parts])
    return columns(table)


def _reasons(opened: "Opened", row: "RunRow") -> dict[str, str]:
    """Return why tasks that are not mapped did not run, what they wait for, and so on."""
    from ostinato.model.state import TaskRunState

    states = (
        TaskRunState.DEFERRED,
        TaskRunState.SKIPPED,
        TaskRunState.UPSTREAM_FAILED,
        TaskRunState.CANCELLED,
    )
    views = opened.client.task_runs(row.id, states=states, limit=MAX_REASONS)
    reasons = {view.task_id: view.reason for view in views}
    done = opened.client.task_runs(row.id, states=[TaskRunState.SUCCEEDED], limit=MAX_REASONS)
    for view in done:
        # Of a success, where its result came from.
        by = f"answered by {view.answered_by}" if view.answered_by else ""
        if view.reason or by:
            reasons[view.task_id] = view.reason or by
    return reasons


def _print_failures(opened: "Opened", row: "RunRow") -> None:
    from ostinato.cli.display import error_block
    from ostinato.model.state import TaskRunState

    views = opened.client.task_runs(row.id, states=[TaskRunState.FAILED], limit=MAX_LISTED + 1)
    for count, view in enumerate(views):
        if count == MAX_LISTED:
            click.echo(f"\nmore than {MAX_LISTED} failed; --format json lists them all")
            return
        click.echo(f"\n{view.title}")
        for line in error_block(view.failure) if view.failure is not None else [view.reason]:
            click.echo(f"  {line}")


def _chosen(opened: "Opened", row: "RunRow", task: str) -> "tuple[str, list[TaskRunView]]":
    """Return the task id and the task runs that were asked for."""
    from ostinato.cli.opening import name_of, parse_task_run
    from ostinato.errors import UnknownTask

    task_id, path = parse_task_run(task, opened.client.flow(row), opened.client.counts(row.id))
    views = [
        view
        for view in opened.client.task_runs(row.id, task_id=task_id)
        if path is None or view.path == path
    ]
    if not views and path is not None:
        raise UnknownTask(f"run {name_of(row)} has no task run {task}")
    return task_id, views


def _task_as_json(opened: "Opened", row: "RunRow", task: str) -> dict[str, Any]:
    from ostinato.cli import as_json

    task_id, views = _chosen(opened, row, task)
    paths = {view.path for view in views}
    values = [value for value in opened.client.values(row.id, task_id) if value.path in paths]
    return {
        "run": as_json.run(row),
        "task_id": task_id,
        "task_runs": [
            {
                **as_json.task_run(view),
                "earlier_attempts": [
                    as_json.attempt(attempt)
                    for attempt in opened.client.attempts(row.id, task_id, view.path)
                ],
            }
            for view in views
        ],
        "values": [as_json.value(value) for value in values],
        "notices": [
            as_json.notice(each)
            for each in opened.client.notices(row.id)
            if each.task_id == task_id and each.path in paths
        ],
    }


def _print_task(opened: "Opened", row: "RunRow", task: str) -> None:
    from ostinato.cli.display import columns, icon
    from ostinato.cli.opening import name_of

    task_id, views = _chosen(opened, row, task)
    if not views:
        click.echo(f"· {task_id} pending: nothing of it has begun")
        return
    if len(views) == 1:
        _print_task_run(opened, row, views[0])
        return
    urgent = sorted(views, key=lambda view: view.failure is None)
    table = [
        [f"  {icon(view.state)} {view.title}", view.state.label, _took(view), _line(view)]
        for view in urgent[:MAX_LISTED]
    ]
    click.echo(f"{task_id}: {len(views)} task runs")
    for line in columns(table):
        click.echo(line)
    if len(views) > MAX_LISTED:
        click.echo(f"  … {len(views) - MAX_LISTED} more; --format json lists them all")
    click.echo(f"One of them: ostinato show '{name_of(row)}' '{urgent[0].name}'")


def _print_task_run(opened: "Opened", row: "RunRow", view: "TaskRunView") -> None:
    from ostinato.cli.display import between, columns, error_block, error_line, icon, moment

    reason = f": {view.reason}" if view.reason else ""
    click.echo(f"{icon(view.state)} {view.title} {view.state.label}{reason}")
    facts = [
        ["attempt", str(view.attempt or "")],
        ["started", moment(view.started_us)],
        ["took", _took(view)],
        ["goes on", moment(view.due_us)],
        ["inputs", _short(view.inputs or "")],
        ["answered by", view.answered_by],
    ]
    for line in columns([["  " + name, value] for name, value in facts if value]):
        click.echo(line)
    for value in opened.client.values(row.id, view.task_id, path=view.path):
        for line in _value_lines(value):
            click.echo(f"  {line}")
    attempts = opened.client.attempts(row.id, view.task_id, view.path)
    if attempts:
        click.echo("  earlier attempts")
    for attempt in attempts:
        took = between(attempt.started_us, attempt.ended_us)
        why = f": {error_line(attempt.failure)}" if attempt.failure is not None else ""
        click.echo(f"    {attempt.attempt} {attempt.state} in {took}{why}")
    if view.failure is not None:
        click.echo()
        for line in error_block(view.failure, frames=0):
            click.echo(f"  {line}")
    notices = opened.client.notices(row.id)
    _print_notices([each for each in notices if each.name == view.name])


def _value_lines(value: "ValueView") -> Iterator[str]:
    import msgspec
    from msgspec import UNSET

    from ostinato.cli.display import size, type_name

    if value.content is not UNSET:
        yield f"result   {_short(msgspec.json.encode(value.content).decode())}"
        return
    where = f" at {value.location}" if value.location else ""
    kind = type_name(value.type_name)
    yield f"result   {kind}, {value.format} of {size(value.size_bytes)}{where}"
    for line in _short(value.preview).splitlines():
        yield f"         {line}"


def _took(view: "TaskRunView") -> str:
    from ostinato.cli.display import between

    return between(view.started_us, view.ended_us)


def _line(view: "TaskRunView") -> str:
    from ostinato.cli.display import error_line

    return error_line(view.failure) if view.failure is not None else view.reason


def _short(text: str) -> str:
    if len(text) <= MAX_VALUE_CHARACTERS:
        return text
    return f"{text[:MAX_VALUE_CHARACTERS]}… ({len(text)} characters)"
