"""This module is ``ostinato run``: one run here and now, or one for each day of a range."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ostinato.cli import options

if TYPE_CHECKING:
    from ostinato.cli.code import Code
    from ostinato.cli.opening import Opened
    from ostinato.client.local import LocalClient
    from ostinato.model.flow import FlowDefinition
    from ostinato.model.manifest import Manifest
    from ostinato.store.records import RunRow


@click.command("run", short_help="Run a flow here and now.")
@click.argument("target", default="")
@options.params
@click.option(
    "-s",
    "--select",
    "selections",
    metavar="EXPRESSION",
    multiple=True,
    help="Tasks to run, such as 'clean+', '+load', 'marts/revenue.sql', 'state:modified+'; "
    "can be given again.",
)
@click.option(
    "--state",
    metavar="RUN",
    default="",
    help="The run that state:modified compares with; by default the flow's last one.",
)
@click.option(
    "--date",
    metavar="DATE",
    help="Logical date, in the flow's time zone; FROM..TO for a run each day, both included.",
)
@options.executor
@options.environment
@options.output("text", "json")
@click.pass_context
def command(
    ctx: click.Context,
    target: str,
    assignments: tuple[str, ...],
    params_file: Path | None,
    selections: tuple[str, ...],
    state: str,
    date: str | None,
    executor: str | None,
    environment: str | None,
    output: str,
) -> None:
    """Run the flow of TARGET here and now.

    TARGET is a file, file.py:flow, a dotted module, a project's folder, or the name of a flow
    of this project; a file of a folder that is a flow is run alone. Whatever happens to this
    process, what was recorded stays: `ostinato resume` goes on.
    """
    from ostinato.cli import code

    code.use_environment(environment)
    # The child process loads the code; meanwhile this one imports what it needs itself.
    loading = code.begin_loading(target, overrides={"executor": executor} if executor else {})
    try:
        from ostinato.cli.opening import open_project
        from ostinato.client.parameters import read_params

        with open_project(loading.project) as opened:
            manifest, data, version = loading.definitions()
            flow = code.choose(loading, manifest)
            params = read_params(flow, assignments, params_file)
            dates = _read_dates(date, flow.timezone or loading.project.settings.timezone)
            tags: tuple[str, ...] = ()
            select = " or ".join(filter(None, selections)) or _task_of(loading.target.path)
            if select:
                flow, data, version = _narrowed(manifest, flow, select, opened.client, state)
                tags = (code.PARTIAL,)
            code.refuse_unsound(flow, loading.project)
            opened.store.save_manifest(version, loading.project.name, data)
            ended = _run_all(
                opened,
                loading,
                flow,
                version=version,
                params=params,
                dates=dates,
                tags=tags,
                output=output,
            )
            ctx.exit(_report(opened, ended, dates, output))
    finally:
        loading.host.close()


def _task_of(path: Path | None) -> str:
    """Return the selection that a target means which is a task's file, else nothing."""
    from ostinato.project.discovery import flow_around

    folder = flow_around(path) if path is not None and path.is_file() else None
    return "" if path is None or folder is None else path.relative_to(folder).as_posix()


def _read_dates(text: str | None, timezone: str) -> list[int | None]:
    """Return the logical dates of the runs that are asked for; None stands for now."""
    from datetime import date, timedelta

    from ostinato.client.parameters import parse_moment_us
    from ostinato.errors import UsageError

    if text is None or ".." not in text:
        return [parse_moment_us(text, timezone)]
    ends = text.split("..", 1)
    try:
        first, last = map(date.fromisoformat, ends)
    except ValueError:
        raise UsageError(
            f"{text!r} is no range of dates", hint="write 2025-01-01..2025-01-31"
        ) from None
    if last < first:
        raise UsageError(f"{text!r} ends before it begins")
    days = (first + timedelta(days=count) for count in range((last - first).days + 1))
    return [parse_moment_us(day, timezone) for day in days]


def _narrowed(
    manifest: "Manifest", flow: "FlowDefinition", select: str, client: "LocalClient", state: str
) -> "tuple[FlowDefinition, bytes, str]":
    from ostinato.cli.changes import changes_since
    from ostinato.errors import UsageError
    from ostinato.model.manifest import Manifest, encode_manifest, version_of
    from ostinato.model.selection import narrow, select_tasks

    selected = select_tasks(flow, select, changes=changes_since(client, state, flow, manifest))
    if not selected:
        hint = "nothing has changed" if select.strip().startswith("state:") else ""
        raise UsageError(f"the selection {select!r} chooses no task", hint=hint)
    flow = narrow(flow, selected)
    # The others stay whole: a task may run them.
    flows = tuple(flow if each.name == flow.name else each for each in manifest.flows)
    data = encode_manifest(Manifest(manifest.project, flows, sources=manifest.sources))
    return flow, data, version_of(data)


def _run_all(
    opened: "Opened",
    loading: "Code",
    flow: "FlowDefinition",
    *,
    version: str,
    params: dict[str, Any],
    dates: list[int | None],
    tags: tuple[str, ...],
    output: str,
) -> "list[RunRow]":
    """Run the flow for one date after the other, up to the first that does not succeed."""
    from ostinato.cli import code, driving
    from ostinato.coordinator.here import Runner
    from ostinato.model.state import RunState

    target = code.portable(loading.target, loading.project, flow.name)
    ended: list[RunRow] = []
    with Runner(opened.project, opened.store, loading.host) as runner:
        for date_us in dates:
            row = runner.create(
                flow, version, params=params, date_us=date_us, target=target, tags=tags
            )
            ended.append(driving.drive(opened, runner, row, flow, output=output, is_fresh=True))
            if output == "text":
                driving.print_summary(opened.client, ended[-1])
            if ended[-1].state is not RunState.SUCCEEDED:
                break
    return ended


def _report(opened: "Opened", ended: "list[RunRow]", dates: list[int | None], output: str) -> int:
    """Say what remains to be said of all runs; return the exit code."""
    from ostinato.cli import as_json, driving
    from ostinato.cli.display import counted

    if output == "json":
        summaries = [driving.summary_as_json(opened.client, row) for row in ended]
        as_json.echo(summaries if len(dates) > 1 else summaries[0])
    elif len(ended) < len(dates):
        left = len(dates) - len(ended)
        click.echo(f"{counted(left, 'later date')} not run", err=True)
    return driving.exit_code(ended[-1])
