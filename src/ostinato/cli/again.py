"""This module takes up runs that were there before: to resume, to retry, to cancel them."""

from collections.abc import Callable
from pathlib import Path

import click
import msgspec
from msgspec import Struct

from ostinato.cli import as_json, code, driving
from ostinato.cli.display import icon
from ostinato.cli.opening import Opened, name_of, open_project, open_runs
from ostinato.client.new_runs import SERVICE
from ostinato.coordinator.here import Runner
from ostinato.coordinator.pinned import changed_shape, pinned_flow
from ostinato.coordinator.retrying import Choice
from ostinato.errors import UnknownFlow, UsageError
from ostinato.executors.code_host import CodeHost
from ostinato.model.flow import FlowDefinition, TaskKind
from ostinato.model.manifest import Manifest, decode_manifest, encode_manifest, version_of
from ostinato.model.selection import narrow
from ostinato.project.discovery import Project
from ostinato.project.loading import Loaded
from ostinato.store.records import RunRow

Take = Callable[[Runner, RunRow, FlowDefinition], RunRow]


class Known(Struct, frozen=True):
    """What is stored of a run that is taken up again.

    Attributes:
        project: Whose run it is.
        row: The run.
        pinned: The flow as the run began with it.
        manifest: The definitions that it is pinned to.
    """

    project: Project
    row: RunRow
    pinned: FlowDefinition
    manifest: Manifest


def known_run(name: str, folder: Path | None) -> Known:
    """Return what is stored of a run.

    The store is closed again: processes are forked before it is used in earnest.

    Raises:
        RunNotFound: There is no such run, or its definitions are gone.
    """
    with open_runs(folder) as opened:
        row = opened.client.run(name)
        pinned = pinned_flow(opened.store, row)
        data = opened.store.load_manifest(row.manifest_version)
    manifest = Manifest(row.project, (pinned,)) if data is None else decode_manifest(data)
    return Known(opened.project, row, pinned, manifest)


def go_on(known: Known, take: Take, *, newest: bool, executor: str | None, output: str) -> int:
    """Take a run up with the code of today, drive it to its end, and return the exit code.

    Args:
        known: The run.
        take: Makes the runner its owner.
        newest: Whether tasks and edges may have changed since the run began.
        executor: Default executor, None for the setting.
        output: ``text`` or ``json``.
    """
    target = code.found_again(known.row.target, known.project)
    overrides = {"executor": executor} if executor else {}
    loading = code.begin_loading(target, overrides=overrides)
    try:
        manifest, _, _ = loading.definitions()
        flow = flow_of_today(known, manifest, newest=newest)
        with open_project(known.project) as opened:
            return _drive(opened, loading.host, known.row, flow, take=take, output=output)
    finally:
        loading.host.close()


def is_left_to_worker(known: Known, opened: Opened) -> bool:
    """Whether a run is the business of workers, of whom one is alive."""
    return known.row.home == SERVICE and opened.client.is_served_by("worker")


def leave_again(known: Known, choice: Choice, *, output: str) -> bool:
    """Ask a worker to run again what is chosen of a run; False if none is there for it.

    Args:
        known: The run.
        choice: What is asked for.
        output: ``text`` or ``json``.

    Raises:
        UnknownTask: The choice names a task that there is not.
        UsageError: Nothing of it is chosen, or it has not ended.
    """
    with open_project(known.project) as opened:
        if not is_left_to_worker(known, opened):
            return False
        with Runner(opened.project, opened.store, None) as runner:
            found = runner.would_retry(known.row.id, known.pinned, choice)
        payload = msgspec.json.encode(choice)
        opened.store.request(known.row.id, "retry", "ostinato retry", payload=payload)
        opened.store.wake_workers()
    name = name_of(known.row)
    if output == "json":
        as_json.echo({**as_json.run(known.row), "runs_again": [str(one.key) for one in found]})
    else:
        click.echo(f"{name} is run again by a worker, by the code in force: ostinato show '{name}'")
    return True


def preview(known: Known, choice: Choice, *, output: str) -> None:
    """Show what a retry would run again.

    Args:
        known: The run.
        choice: What is asked for.
        output: ``text`` or ``json``.
    """
    target = code.found_again(known.row.target, known.project)
    loading = code.begin_loading(target)
    try:
        manifest, _, _ = loading.definitions()
        flow = flow_of_today(known, manifest, newest=True)
        with (
            open_project(known.project) as opened,
            Runner(opened.project, opened.store, loading.host) as runner,
        ):
            found = runner.would_retry(known.row.id, flow, choice)
    finally:
        loading.host.close()
    if output == "json":
        as_json.echo([{"task_run": str(one.key), "state": one.state.label} for one in found])
        return
    click.echo(f"{len(found)} of {name_of(known.row)} would run again:")
    for one in found:
        click.echo(f"  {icon(one.state)} {one.key} {one.state.label}")


def settle(known: Known, by: str, *, output: str) -> int:
    """Cancel a run whose process is gone, and return the exit code."""

    def take(runner: Runner, row: RunRow, flow: FlowDefinition) -> RunRow:
        return runner.settle(row.id, flow, by)

    if any(task.kind is TaskKind.TEARDOWN for task in known.pinned.tasks):
        return go_on(known, take, newest=True, executor=None, output=output)
    # Nothing will be executed, so a run can be cancelled whose code is broken or gone.
    data = encode_manifest(known.manifest)
    loaded = Loaded({}, known.manifest, data, version_of(data))
    host = CodeHost.fork(lambda: loaded)
    try:
        with open_project(known.project) as opened:
            return _drive(opened, host, known.row, known.pinned, take=take, output=output)
    finally:
        host.close()


def _drive(
    opened: Opened, host: CodeHost, row: RunRow, flow: FlowDefinition, *, take: Take, output: str
) -> int:
    with Runner(opened.project, opened.store, host) as runner:
        taken = take(runner, row, flow)
        ended = driving.drive(opened, runner, taken, flow, output=output, is_fresh=False)
    if output == "json":
        as_json.echo(driving.summary_as_json(opened.client, ended))
    else:
        driving.print_summary(opened.client, ended)
    return driving.exit_code(ended)


def flow_of_today(known: Known, manifest: Manifest, *, newest: bool) -> FlowDefinition:
    """Return the flow of a run as the code of today has it; say so if that is another.

    Args:
        known: The run.
        manifest: What was loaded today.
        newest: Whether tasks and edges may have changed since the run began.

    Raises:
        UnknownFlow: It could not be loaded.
        UsageError: It has changed too much.
    """
    name = name_of(known.row)
    flow = manifest.flow(known.row.flow)
    if flow is None:
        for problem in manifest.problems:
            click.echo(f"error: {problem}", err=True)
        raise UnknownFlow(f"flow {known.row.flow!r} of run {name} could not be loaded")
    if code.PARTIAL in known.row.tags:
        flow = narrow(flow, frozenset(task.id for task in known.pinned.tasks))
    if known.manifest.sources == manifest.sources and flow == known.pinned:
        return flow
    difference = changed_shape(known.pinned, flow)
    if difference and not newest:
        raise UsageError(
            f"the code has changed since run {name} began: {difference}",
            hint=f"go back to that code, or start a new run of {known.row.flow!r}",
        )
    if known.manifest.sources:
        # Of a run that a script started, nobody knows the sources.
        click.echo(f"the code has changed since {name} began: it goes on with today's", err=True)
    return flow
