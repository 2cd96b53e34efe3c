"""This module is ``ostinato retry``: run parts of a run again."""

from pathlib import Path

import click

from ostinato.cli import options


@click.command("retry", short_help="Run again what failed, or what is named.")
@click.argument("run")
@click.option(
    "--from",
    "whole",
    metavar="TASKS",
    multiple=True,
    help="Run these again, with all that is downstream; can be given again.",
)
@click.option(
    "--only",
    "alone",
    metavar="TASKS",
    multiple=True,
    help="Run these again, without what is downstream; can be given again.",
)
@click.option(
    "--reset",
    "steps",
    metavar="STEP",
    multiple=True,
    help="Run these steps of a flow that is a function again, and no later ones.",
)
@click.option("--upstream", is_flag=True, help="Also all that is upstream of them.")
@click.option("--downstream", is_flag=True, help="Also all that is downstream of --only.")
@click.option("--failed", is_flag=True, help="Of all that, only what failed.")
@click.option("--dry-run", is_flag=True, help="Show what would run again, and do nothing.")
@options.executor
@options.environment
@options.project
@options.output("text", "json")
@click.pass_context
def command(
    ctx: click.Context,
    run: str,
    whole: tuple[str, ...],
    alone: tuple[str, ...],
    steps: tuple[str, ...],
    *,
    upstream: bool,
    downstream: bool,
    failed: bool,
    dry_run: bool,
    executor: str | None,
    environment: str | None,
    project: Path | None,
    output: str,
) -> None:
    """Run again what failed in RUN, and what waited for it, with the code of today.

    RUN is flow#17, an id, the name of a flow for its newest run, or `last`. What succeeded is
    not run again, unless TASKS name it: a task, one of its indices as in `load[3]`, or a
    selection such as `group:clean`. Earlier attempts are kept.

    Of a flow that is a function, TASKS is a STEP: a place such as 3 or 3.1, as in `load[3.1]`.
    """
    from ostinato.cli import again, code
    from ostinato.coordinator.retrying import Choice

    code.use_environment(environment)
    known = again.known_run(run, project)
    choice = Choice(whole, alone, upstream, downstream, failed, steps)
    if dry_run:
        again.preview(known, choice, output=output)
        return
    if executor is None and again.leave_again(known, choice, output=output):
        return
    ctx.exit(
        again.go_on(
            known,
            lambda runner, row, flow: runner.retry(
                row.id, flow, by="ostinato retry", choice=choice
            ),
            newest=True,
            executor=executor,
            output=output,
        )
    )
