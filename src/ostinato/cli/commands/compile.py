"""This module is ``ostinato compile``: write a flow down for another orchestrator."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from ostinato.cli import options


@click.group("compile", short_help="Write a flow down for another orchestrator.")
def command() -> None:
    """Write a flow down for another orchestrator."""


@command.command("airflow", short_help="Write a flow down as a DAG file of Airflow 3.")
@click.argument("target", default="")
@click.option(
    "-o",
    "--output",
    "file",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where the file goes; standard output by default.",
)
@options.environment
def airflow(target: str, file: Path | None, environment: str | None) -> None:
    """Write the flow of TARGET down as a DAG file of Airflow 3.

    The file needs Airflow and nothing of Ostinato. What Airflow has no word for is an error
    that names the task, and nothing is written.
    """
    from ostinato.cli import code
    from ostinato.cli.display import counted
    from ostinato.errors import NotInAirflow, UsageError
    from ostinato.project.discovery import check_target, find_project
    from ostinato.project.loading import load_project
    from ostinato.project.target import choose_flow, parse_target
    from ostinato.translation.airflow import compile_flow

    code.use_environment(environment)
    wanted = parse_target(target)
    project = find_project(wanted)
    check_target(project, wanted)
    # Here and not in a child: the code of functions is taken from the functions themselves.
    loaded = load_project(project, wanted)
    flow = choose_flow(loaded.manifest, wanted)
    code.warn(loaded.manifest.problems)
    try:
        text = compile_flow(loaded.flows[flow.name], _types(project.settings.connections))
    except* NotInAirflow as problems:
        *others, last = problems.exceptions
        for problem in others:
            click.echo(f"error: {problem}", err=True)
        raise UsageError(str(last)) from None
    if file is None:
        click.echo(text, nl=False)
    else:
        file.write_text(text, encoding="utf-8")
        click.echo(f"wrote {counted(len(flow.tasks), 'task')} to {file}", err=True)


def _types(connections: Mapping[str, Any]) -> dict[str, str]:
    """Return the type of each connection that the settings declare."""
    return {
        name: str(value.get("type", "") if isinstance(value, Mapping) else value.partition(":")[0])
        for name, value in connections.items()
    }
