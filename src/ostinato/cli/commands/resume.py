"""This module is ``ostinato resume``: go on with a run that was interrupted."""

from pathlib import Path

import click

from ostinato.cli import options


@click.command("resume", short_help="Go on with an interrupted run.")
@click.argument("run")
@options.executor
@options.environment
@options.project
@options.output("text", "json")
@click.pass_context
def command(
    ctx: click.Context,
    run: str,
    executor: str | None,
    environment: str | None,
    project: Path | None,
    output: str,
) -> None:
    """Go on with RUN, whose process was interrupted.

    RUN is flow#17, an id, the name of a flow for its newest run, or `last`. What was recorded
    is not run again. Other code than that of the beginning is used if tasks and edges are
    the same.
    """
    from ostinato.cli import again, code

    code.use_environment(environment)
    known = again.known_run(run, project)
    ctx.exit(
        again.go_on(
            known,
            lambda runner, row, flow: runner.resume(row.id, flow),
            newest=False,
            executor=executor,
            output=output,
        )
    )
