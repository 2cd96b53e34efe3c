"""This module is ``ostinato diff``: what is different in another run."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ostinato.cli import options

if TYPE_CHECKING:
    from ostinato.client.comparison import Change, Comparison, TaskRunChange
    from ostinato.client.views import TaskRunView, ValueView

#: Task runs that are listed; JSON has them all.
MAX_LISTED = 50

#: Characters of a value that are shown.
MAX_VALUE_CHARACTERS = 100


@click.command("diff", short_help="Show what is different in another run.")
@click.argument("first", metavar="RUN")
@click.argument("second", metavar="RUN")
@options.project
@options.output("text", "json")
def command(first: str, second: str, project: Path | None, output: str) -> None:
    """Show what is different in the second RUN: parameters, code, states, times, results.

    RUN is flow#17, an id, the name of a flow for its newest run, or `last`.
    """
    from ostinato.cli import as_json
    from ostinato.cli.opening import open_runs
    from ostinato.client.comparison import compare_runs

    with open_runs(project) as opened:
        client = opened.client
        found = compare_runs(client, client.run(first), client.run(second))
    if output == "json":
        as_json.echo(_as_json(found))
    else:
        _print(found)


def _as_json(found: "Comparison") -> dict[str, Any]:
    from ostinato.cli import as_json

    return {
        "first": as_json.run(found.first),
        "second": as_json.run(found.second),
        "is_same": found.is_same,
        "params": [as_json.plain(change) for change in found.params],
        "commits": None if found.commits is None else as_json.plain(found.commits),
        "sources": [as_json.plain(change) for change in found.sources],
        "task_runs": [_task_run_as_json(change) for change in found.task_runs],
        "durations": [as_json.plain(change) for change in found.durations],
    }


def _task_run_as_json(change: "TaskRunChange") -> dict[str, Any]:
    from ostinato.cli import as_json

    first, second = (
        None if view is None else as_json.task_run(view) for view in (change.first, change.second)
    )
    values = [None if value is None else as_json.value(value) for value in change.values]
    return {
        "name": change.name,
        "is_state_other": change.is_state_other,
        "are_inputs_other": change.are_inputs_other,
        "is_value_other": change.is_value_other,
        "first": first,
        "second": second,
        "values": values,
    }


def _print(found: "Comparison") -> None:
    from ostinato.cli.display import between, columns
    from ostinato.cli.opening import name_of

    first, second = found.first, found.second
    click.echo(f"{name_of(first)} → {name_of(second)}")
    facts = []
    if first.state is not second.state:
        facts.append(["state", f"{first.state.label} → {second.state.label}"])
    took = [between(run.started_us, run.ended_us) for run in (first, second)]
    if all(took):
        facts.append(["took", " → ".join(took)])
    facts.extend(["params", line] for line in map(_param_line, found.params))
    if found.commits is not None:
        commits = [str(each or "none")[:12] for each in (found.commits.first, found.commits.second)]
        facts.append(["commit", " → ".join(commits)])
    facts.extend(["code", f"{each.name} {_what_became(each)}"] for each in found.sources)
    for line in columns([["  " + name, text] for name, text in facts]):
        click.echo(line)
    table = [[f"  {name}", text] for name, text in _task_lines(found)]
    for line in columns(table[:MAX_LISTED]):
        click.echo(line)
    if len(table) > MAX_LISTED:
        click.echo(f"  … {len(table) - MAX_LISTED} more; --format json has them all")
    if found.is_same:
        click.echo("  nothing else is different")


def _task_lines(found: "Comparison") -> Iterator[tuple[str, str]]:
    from ostinato.cli.display import duration
    from ostinato.cli.opening import name_of

    for change in found.task_runs:
        if change.first is None:
            yield change.name, f"only in {name_of(found.second)}: {_end(change.second)}"
            continue
        if change.second is None:
            yield change.name, f"only in {name_of(found.first)}: {_end(change.first)}"
            continue
        if change.is_state_other:
            yield change.name, f"{change.first.state.label} → {_end(change.second)}"
        if change.are_inputs_other:
            inputs = [_short(view.inputs or "none") for view in (change.first, change.second)]
            yield change.name, f"inputs {inputs[0]} → {inputs[1]}"
        if change.is_value_other:
            values = [_value(value) for value in change.values]
            yield change.name, f"result {values[0]} → {values[1]}"
    for each in found.durations:
        yield each.name, f"took {duration(each.first)} → {duration(each.second)}"


def _param_line(change: "Change") -> str:
    from msgspec import UNSET

    from ostinato.cli import as_json

    first, second = (
        "not set" if value is UNSET else _short(as_json.encoded(value))
        for value in (change.first, change.second)
    )
    return f"{change.name}: {first} → {second}"


def _what_became(change: "Change") -> str:
    from msgspec import UNSET

    if change.first is UNSET:
        return "added"
    return "removed" if change.second is UNSET else "changed"


def _end(view: "TaskRunView | None") -> str:
    from ostinato.cli.display import error_line

    assert view is not None
    why = error_line(view.failure) if view.failure is not None else view.reason
    return f"{view.state.label}: {why}" if why else view.state.label


def _value(value: "ValueView | None") -> str:
    from msgspec import UNSET

    from ostinato.cli import as_json
    from ostinato.cli.display import size, type_name

    if value is None:
        return "none"
    if value.content is not UNSET:
        return _short(as_json.encoded(value.content))
    return f"{type_name(value.type_name)} of {size(value.size_bytes)}"


def _short(text: str) -> str:
    cut = len(text) > MAX_VALUE_CHARACTERS
    return f"{text[:MAX_VALUE_CHARACTERS]}…" if cut else text
