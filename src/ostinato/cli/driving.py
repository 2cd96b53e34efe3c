"""This module drives a run to its end in the main thread, shown by another one."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import click

from ostinato.cli import as_json
from ostinato.cli.display import between, error_block, icon
from ostinato.cli.entry import EXIT_CANCELLED, EXIT_DONE, EXIT_FAILED
from ostinato.cli.opening import Opened, name_of, title_of
from ostinato.cli.progress.follower import Follower, View
from ostinato.cli.progress.tally import Tally
from ostinato.client.answers import answer_command
from ostinato.client.local import LocalClient
from ostinato.clock import SystemClock
from ostinato.coordinator.here import Runner
from ostinato.errors import InternalError
from ostinato.model.flow import FlowDefinition
from ostinato.model.state import RunState, TaskRunState
from ostinato.store.records import RunRow

#: Failures that are explained at the end of a run.
MAX_EXPLAINED = 3

#: Failures in the JSON form of a run.
MAX_FAILURES_AS_JSON = 100

#: By convention 128 plus the number of the signal.
_EXIT_TERMINATED = 143


def drive(
    opened: Opened,
    runner: Runner,
    row: RunRow,
    flow: FlowDefinition,
    *,
    output: str,
    is_fresh: bool,
) -> RunRow:
    """Drive the runner's run to its end, and show it.

    Args:
        opened: Where it is recorded.
        runner: Owns it.
        row: The run.
        flow: Its definition.
        output: ``text`` shows it while it goes on; ``json`` keeps silent.
        is_fresh: Whether the run begins now.

    Returns:
        The run as it ended.
    """
    follower = None
    if output == "text":
        follower = _begin_to_show(opened.client, row, flow, is_fresh=is_fresh)
    try:
        with _interruptible(runner):
            runner.drive(on_linger=lambda: _say_what_is_waited_for(follower))
    except (KeyboardInterrupt, SystemExit):
        _stop(follower)
        name = name_of(row)
        click.echo(f"left {name} unfinished: ostinato resume '{name}' goes on with it", err=True)
        raise
    finally:
        _stop(follower)
    ended = opened.store.run(row.id)
    if ended is None:
        raise InternalError(f"run {name_of(row)} is gone from the store")
    return ended


def exit_code(row: RunRow) -> int:
    """Return the exit code that tells how a run ended."""
    match row.state:
        case RunState.SUCCEEDED | RunState.RUNNING | RunState.PAUSED:
            # One that has not ended is suspended, as its flow wants it.
            return EXIT_DONE
        case RunState.CANCELLED:
            return EXIT_CANCELLED
        case _:
            return EXIT_FAILED


def summary_as_json(client: LocalClient, row: RunRow) -> dict[str, Any]:
    """Return a run with counts and failures."""
    failed = client.task_runs(row.id, states=[TaskRunState.FAILED], limit=MAX_FAILURES_AS_JSON)
    return {
        **as_json.run(row),
        "counts": as_json.counts(client.counts(row.id)),
        "failures": [as_json.task_run(view) for view in failed],
    }


def print_summary(client: LocalClient, row: RunRow) -> None:
    """Say how a run ended, and what to look at if it did not go well."""
    name = name_of(row)
    if not row.state.is_terminal:
        for one in client.inputs(row.id):
            click.echo(f"{icon(row.state)} {title_of(row)} is suspended: {one.request.title}")
            answer = answer_command(name, one.name, one.request)
            click.echo(f"Answer: {answer}   Then: ostinato resume '{name}'")
        return
    took = between(row.started_us, row.ended_us)
    reason = f": {row.reason}" if row.reason else ""
    click.echo(f"{icon(row.state)} {title_of(row)} {row.state.label} in {took}{reason}")
    if row.state is not RunState.FAILED:
        return
    if not is_picture():
        # In a picture they stand above.
        _print_failures(client, row)
    click.echo(f"See: ostinato logs '{name}'   Again from there: ostinato retry '{name}'")


def _say_what_is_waited_for(follower: Follower | None) -> None:
    # The run has ended: nothing more is drawn over this line.
    _stop(follower)
    click.echo("waiting for callbacks and alerts; Ctrl-C leaves them to the next command", err=True)


def _stop(follower: Follower | None) -> None:
    if follower is not None:
        follower.stop()


def _print_failures(client: LocalClient, row: RunRow) -> None:
    failed = [*client.task_runs(row.id, states=[TaskRunState.FAILED], limit=MAX_EXPLAINED)]
    for view in failed:
        if view.failure is not None:
            first, *rest = error_block(view.failure)
            click.echo(f"  {view.title}: {first}")
            for line in rest:
                click.echo(f"    {line}")
    if len(failed) == MAX_EXPLAINED:
        counts = client.counts(row.id).values()
        left = sum(one.get(TaskRunState.FAILED, 0) for one in counts) - MAX_EXPLAINED
        if left > 0:
            click.echo(f"  and {left} more that failed: ostinato show '{name_of(row)}'")


def _begin_to_show(
    client: LocalClient, row: RunRow, flow: FlowDefinition, *, is_fresh: bool
) -> Follower:
    tally = Tally(flow)
    follower = Follower(
        client,
        row.id,
        flow,
        tally=tally,
        view=_view(title_of(row), name_of(row), flow, tally),
        is_fresh=is_fresh,
    )
    follower.start()
    return follower


def _view(title: str, name: str, flow: FlowDefinition, tally: Tally) -> View:
    if is_picture():
        # Rich takes 60 ms to import: only where somebody looks.
        from ostinato.cli.progress.live import LiveView

        return LiveView(title, flow, tally, started_us=SystemClock().now_us(), name=name)
    from ostinato.cli.progress.lines import Lines

    return Lines(flow, tally, click.echo, name=name)


def is_picture() -> bool:
    """Whether standard output can show what changes in place."""
    return sys.stdout.isatty() and os.environ.get("TERM", "") not in ("", "dumb", "unknown")


@contextmanager
def _interruptible(runner: Runner) -> Iterator[None]:
    """Let Ctrl-C cancel the run, and a second one leave at once; the run can be resumed."""
    was_asked = False

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        nonlocal was_asked
        if was_asked:
            raise KeyboardInterrupt
        was_asked = True
        runner.request_cancel("Ctrl-C")

    def terminate(_signal: int, _frame: FrameType | None) -> None:
        raise SystemExit(_EXIT_TERMINATED)

    before = signal.signal(signal.SIGINT, interrupt), signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before[0])
        signal.signal(signal.SIGTERM, before[1])
