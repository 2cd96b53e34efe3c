"""This module is ``ostinato debug``: a recorded task run once more, under a debugger."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ostinato.cli import options

if TYPE_CHECKING:
    from ostinato.cli.again import Known
    from ostinato.cli.opening import Opened

#: Characters of a result that are shown.
MAX_RESULT_CHARACTERS = 2_000


@click.command("debug", short_help="Execute a recorded task run again, under a debugger.")
@click.argument("run")
@click.argument("task")
@click.option(
    "--debugger",
    metavar="NAME",
    default="pdb",
    show_default=True,
    help="A module that is used like pdb, such as ipdb or pudb; `none` only executes.",
)
@options.environment
@options.project
@click.pass_context
def command(
    ctx: click.Context,
    run: str,
    task: str,
    *,
    debugger: str,
    environment: str | None,
    project: Path | None,
) -> None:
    """Execute TASK of RUN here, with its recorded inputs, and stop where its code begins.

    RUN is flow#17, an id, the name of a flow for its newest run, or `last`. TASK is load, or
    load[3] for one task run of a mapped task or a step. Nothing of it is recorded, and what is
    recorded stays as it is. After an error the debugger looks at where it was raised.
    """
    from ostinato.cli import again, code
    from ostinato.cli.opening import open_project
    from ostinato.runtime.debugging import Debugger

    tool = Debugger(debugger)
    code.use_environment(environment)
    known = again.known_run(run, project)
    with open_project(known.project) as opened, tempfile.TemporaryDirectory() as scratch:
        ctx.exit(_execute(opened, known, task, tool, Path(scratch)))


def _execute(opened: "Opened", known: "Known", task: str, debugger: Any, scratch: Path) -> int:
    import bdb
    import logging
    import sys

    from ostinato.authoring.signals import Defer, Fail, Skip
    from ostinato.cli import again, code
    from ostinato.cli.entry import EXIT_DONE, EXIT_FAILED
    from ostinato.cli.opening import name_of
    from ostinato.clock import SystemClock
    from ostinato.coordinator.recorded import RecordedRun
    from ostinato.errors import FlowDiverged, UnknownTask
    from ostinato.model.step import BODY
    from ostinato.project.loading import load_project
    from ostinato.project.target import parse_target
    from ostinato.runtime.debugging import execute_again

    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    target = parse_target(code.found_again(known.row.target, known.project))
    loaded = load_project(known.project, target)
    flow = again.flow_of_today(known, loaded.manifest, newest=True)
    clock = SystemClock()
    recorded = RecordedRun(
        opened.store, opened.project, known.row, flow, scratch=scratch, clock=clock
    )
    task_id, path = _chosen(opened, known, task, is_function=recorded.is_function)
    is_step = recorded.is_function and task_id != BODY
    spec = recorded.spec(BODY, ()) if is_step else recorded.spec(task_id, path)
    click.echo(f"{name_of(known.row)} {task} once more; nothing of it is recorded", err=True)
    sys.stdout.flush()
    try:
        result = execute_again(
            spec,
            loaded.flows[flow.name],
            recorded.info,
            port=recorded,
            clock=clock,
            debugger=debugger,
            step=path if is_step else None,
        )
    except bdb.BdbQuit:
        click.echo("left", err=True)
        return EXIT_FAILED
    except (Skip, Defer) as signal:
        click.echo(f"ended by {type(signal).__name__}: {signal}")
        return EXIT_DONE
    except (UnknownTask, FlowDiverged):
        raise
    except (Exception, Fail) as error:  # noqa: BLE001 - users' code may raise anything
        _print_error(error)
        debugger.look_at(error)
        return EXIT_FAILED
    text = repr(result)
    cut = "…" if len(text) > MAX_RESULT_CHARACTERS else ""
    click.echo(f"result {text[:MAX_RESULT_CHARACTERS]}{cut}")
    return EXIT_DONE


def _chosen(
    opened: "Opened", known: "Known", task: str, *, is_function: bool
) -> tuple[str, tuple[int, ...]]:
    """Return the task run that is meant; of a task that is called once, its step."""
    from ostinato.authoring.suggestions import did_you_mean
    from ostinato.cli.opening import name_of, parse_task_run
    from ostinato.errors import UnknownTask
    from ostinato.model.identity import parse_path

    task_id, path = parse_task_run(task, None if is_function else known.pinned)
    if path is not None or not is_function:
        found = parse_path(path or "")
    else:
        views = list(opened.client.task_runs(known.row.id, task_id=task_id, limit=2))
        if len(views) > 1:
            names = ", ".join(view.name for view in views)
            message = f"run {name_of(known.row)} has several steps {task_id!r}"
            raise UnknownTask(message, hint=f"name one, such as {names}")
        found = parse_path(views[0].path) if views else ()
    begun = list(opened.client.counts(known.row.id))
    if task_id not in begun:
        hint = did_you_mean(task_id, begun) or f"it has {', '.join(begun[:10])}"
        raise UnknownTask(f"run {name_of(known.row)} has no task run {task!r}", hint=hint)
    return task_id, found


def _print_error(error: BaseException) -> None:
    from ostinato.cli.display import error_block
    from ostinato.runtime.failures import describe_failure

    for line in error_block(describe_failure(error)):
        click.echo(line)
