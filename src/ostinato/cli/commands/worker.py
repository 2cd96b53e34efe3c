"""This module is ``ostinato worker``: drive runs of the service."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ostinato.cli import options

if TYPE_CHECKING:
    from ostinato.executors.nursery import Nursery


@click.command("worker", short_help="Drive runs that are triggered, until it is stopped.")
@click.option(
    "--name", "title", metavar="NAME", default="", help="What to call it; by default its host."
)
@click.option(
    "--flow",
    "flows",
    metavar="NAME",
    multiple=True,
    help="Take runs of this flow alone. Can be given again.",
)
@click.option(
    "--max-children",
    metavar="NUMBER",
    type=click.IntRange(min=0),
    default=0,
    help="Processes for tasks at a time; by default the setting.",
)
@options.environment
@options.project
@options.service
def command(
    title: str,
    flows: tuple[str, ...],
    max_children: int,
    environment: str | None,
    project: Path | None,
    drain_timeout_s: float,
    log_format: str,
) -> None:
    """Drive the runs of this project that wait for a worker.

    They come from `ostinato trigger`, schedules, and whatever else asks for runs without driving
    them. There may be any number of workers. SIGTERM or Ctrl-C lets what runs finish.
    """
    from ostinato.cli.code import use_environment
    from ostinato.executors.nursery import Nursery

    use_environment(environment)
    # Before threads, and before much is imported.
    nursery = Nursery.fork()
    try:
        _serve(
            nursery,
            project,
            title=title,
            flows=flows,
            max_children=max_children,
            drain_timeout_s=drain_timeout_s,
            log_format=log_format,
        )
    finally:
        nursery.close()


def _serve(
    nursery: "Nursery",
    folder: Path | None,
    *,
    title: str,
    flows: tuple[str, ...],
    max_children: int,
    drain_timeout_s: float,
    log_format: str,
) -> None:
    from ostinato.cli.opening import open_project
    from ostinato.cli.service import Service
    from ostinato.cli.service_code import opened_code
    from ostinato.cli.service_log import set_up_log
    from ostinato.coordinator.worker import Worker
    from ostinato.executors.reload import Reload
    from ostinato.project.discovery import find_project
    from ostinato.project.target import Target

    set_up_log(log_format)
    project = find_project(Target(path=folder.resolve()) if folder is not None else None)
    with open_project(project) as opened, opened_code(opened, nursery) as code:
        worker = Worker(
            project,
            opened.store,
            code,
            title=title,
            flows=flows,
            max_children=max_children,
        )
        reload = Reload(code, project)
        service = Service([worker, reload], main=worker, drain_timeout_s=drain_timeout_s)
        click.echo(f"worker of project {project.name!r} is ready; Ctrl-C lets it finish", err=True)
        service.run()
