"""This module is ``ostinato server``: serve HTTP."""

from pathlib import Path

import click

from ostinato.cli import options


@click.command("server", short_help="Serve HTTP: health, metrics, an interface for programs.")
@options.listening
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
    """Serve HTTP: health, metrics, and an interface for programs, until SIGTERM or Ctrl-C.

    It runs nothing itself: runs that are asked for are left to workers.
    """
    import logging

    from ostinato.cli import code
    from ostinato.cli.http import http_server
    from ostinato.cli.opening import open_project
    from ostinato.cli.service import Service
    from ostinato.cli.service_log import set_up_log
    from ostinato.project.discovery import check_target, find_project
    from ostinato.project.target import Target

    set_up_log(log_format)
    code.use_environment(environment)
    found = find_project(Target(path=project.resolve()) if project is not None else None)
    check_target(found, Target())
    with open_project(found) as opened:
        server = http_server(opened, host=host, port=port, health=lambda: service.health())
        service = Service([server], drain_timeout_s=drain_timeout_s)
        fields = {"project": found.name, "url": server.url}
        logging.getLogger(__name__).info("the server listens", extra=fields)
        service.run()
