"""This module is ``ostinato worker``: drive runs of the service."""

from pathlib import Path

import click

from ostinato.cli import options


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
@options.monitoring
@options.environment
@options.project
@options.service
def command(
    *,
    title: str,
    flows: tuple[str, ...],
    max_children: int,
    host: str | None,
    port: int | None,
    environment: str | None,
    project: Path | None,
    drain_timeout_s: float,
    log_format: str,
) -> None:
    """Drive the runs of this project that wait for a worker.

    They come from `ostinato trigger`, schedules, and whatever else asks for runs without driving
    them. There may be any number of workers. SIGTERM or Ctrl-C lets what runs finish.
    """
    import logging

    from ostinato.cli.code import use_environment
    from ostinato.cli.served_project import log_changes, serve_project
    from ostinato.cli.service_log import set_up_log

    use_environment(environment)
    set_up_log(log_format)
    # First: it forks what must be forked before threads, and before much is imported.
    with serve_project(project, is_measured=port is not None) as served:
        from ostinato.cli.http import monitor
        from ostinato.cli.run_log import log_run
        from ostinato.cli.service import Part, Service
        from ostinato.coordinator.worker import Worker

        logger = logging.getLogger(__name__)
        log_changes(served.code)
        opened = served.opened
        worker = Worker(
            opened.project,
            opened.store,
            served.code,
            title=title,
            flows=flows,
            max_children=max_children,
            on_run=log_run,
        )
        attendants: list[Part] = [*served.attendants]
        if served.measures is not None:
            server = monitor(
                opened,
                host=host,
                port=port,
                health=lambda: service.health(),
                measured=[served.measures, worker],
            )
            attendants.append(server)
            logger.info("health and metrics are served", extra={"url": server.url})
        service = Service(
            [worker, served.reload],
            main=worker,
            attendants=attendants,
            drain_timeout_s=drain_timeout_s,
        )
        name = opened.project.name
        logger.info("worker of project %r is ready; Ctrl-C lets it finish", name)
        service.run()
