"""This module is ``ostinato scheduler``: fire schedules, sensors and backfills."""

from pathlib import Path

import click

from ostinato.cli import options


@click.command("scheduler", short_help="Fire schedules, sensors and backfills.")
@options.monitoring
@options.service
@options.environment
@options.project
def command(
    *,
    host: str | None,
    port: int | None,
    drain_timeout_s: float,
    log_format: str,
    environment: str | None,
    project: Path | None,
) -> None:
    """Make the runs of schedules, sensors and backfills, until SIGTERM or Ctrl-C.

    It runs nothing itself: workers do. Of several schedulers one is active; the others stand by,
    and one of them takes over within seconds.
    """
    import logging

    from ostinato.cli import code
    from ostinato.cli.http import monitor
    from ostinato.cli.scheduling import scheduling
    from ostinato.cli.served_project import serve_project
    from ostinato.cli.service import Part, Service
    from ostinato.cli.service_log import set_up_log

    set_up_log(log_format)
    logger = logging.getLogger(__name__)
    code.use_environment(environment)
    with (
        serve_project(project, is_measured=port is not None) as served,
        scheduling(served) as parts,
    ):
        attendants: list[Part] = [*served.attendants]
        if served.measures is not None:
            server = monitor(
                served.opened,
                host=host,
                port=port,
                health=lambda: service.health(),
                measured=[served.measures],
            )
            logger.info("health and metrics are served", extra={"url": server.url})
            attendants.append(server)
        for problem in served.code.problems:
            logger.log(logging.ERROR if problem.is_error else logging.WARNING, "%s", problem)
        service = Service(
            [*parts, served.reload], attendants=attendants, drain_timeout_s=drain_timeout_s
        )
        count = sum(1 for flow in served.code.flows.values() if flow.definition.schedule)
        fields = {"project": served.opened.project.name, "schedules": count}
        logger.info("the scheduler is up", extra=fields)
        service.run()
