"""This module is ``ostinato retry``: run again what failed."""

from pathlib import Path

import click

from ostinato.cli import options


@click.command("retry", short_help="Run again what failed.")
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
    """Run again what failed in RUN, and what waited for it, with the code of today.

    RUN is flow#17, an id, the name of a flow for its newest run, or `last`. What succeeded is
    not run again.
    """
    from ostinato.cli import again, code

    code.use_environment(environment)
    known = again.known_run(run, project)
    ctx.exit(
        again.go_on(
            known,
            lambda runner, row, flow: runner.retry(row.id, flow, by="ostinato retry"),
            newest=True,
            executor=executor,
            output=output,
        )
    )
