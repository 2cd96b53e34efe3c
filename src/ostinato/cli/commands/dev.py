"""This module is ``ostinato dev``: a whole service in one process, for a project at hand."""

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ostinato.cli import options
from ostinato.clock import SystemClock

if TYPE_CHECKING:
    from ostinato.cli.dev_view import DevView
    from ostinato.cli.served_project import ServedProject
    from ostinato.cli.service import Part
    from ostinato.coordinator.worker import Worker


@click.command("dev", short_help="Run the project as a service here, and follow its files.")
@options.listening
@click.option(
    "--no-scheduler", is_flag=True, help="Fire nothing by itself: no schedule, sensor, backfill."
)
@options.service
@options.environment
@options.project
def command(
    *,
    host: str | None,
    port: int | None,
    no_scheduler: bool,
    drain_timeout_s: float,
    log_format: str,
    environment: str | None,
    project: Path | None,
) -> None:
    """Run the project as a service, with all that it needs in one process.

    Runs that are triggered are driven, schedules fire, and files that change are loaded at once;
    runs that go on keep the code that they began with. Ctrl-C lets what runs finish; what is
    unfinished then goes on when it is started again.
    """
    import logging

    from ostinato.cli.code import use_environment
    from ostinato.cli.dev_lock import DevLock
    from ostinato.cli.served_project import problems_of, serve_project
    from ostinato.cli.service_log import set_up_log

    use_environment(environment)
    # What it does is printed; what goes wrong is logged.
    set_up_log(log_format, level=logging.WARNING)
    # Runs that cannot go on are among what is printed.
    logging.getLogger("ostinato.coordinator.tenure").setLevel(logging.ERROR)
    # First: it forks what must be forked before threads, and before much is imported.
    with ExitStack() as closing:
        lock = closing.enter_context(DevLock())
        served = closing.enter_context(serve_project(project, admit=lock.take, is_measured=True))
        from ostinato.cli.dev_view import DevView
        from ostinato.cli.http import http_server
        from ostinato.cli.service import Service

        view = DevView()
        worker = _worker(served, view)
        services: list[Service] = []
        assert served.measures is not None
        server = http_server(
            served.opened,
            host=host,
            port=port,
            health=lambda: services[0].health(),
            measured=[served.measures, worker],
        )
        lock.tell(server.url)
        parts: list[Part] = [worker, served.reload]
        if not no_scheduler:
            from ostinato.cli.scheduling import scheduling

            parts += closing.enter_context(scheduling(served))
        service = Service(
            parts,
            main=worker,
            attendants=[view, server, *served.attendants],
            drain_timeout_s=drain_timeout_s,
            on_drain=lambda _: view.ending(),
        )
        services.append(service)
        clock = SystemClock()
        served.code.subscribe(
            lambda change: view.change(change, clock.now_us(), problems_of(served))
        )
        view.begin(served.opened.project.name, server.url, served.code)
        view.problems(problems_of(served))
        service.run()


def _worker(served: "ServedProject", view: "DevView") -> "Worker":
    """Return what drives runs, and tells of them."""
    from ostinato.coordinator.worker import Worker

    return Worker(served.opened.project, served.opened.store, served.code, on_run=view.tell)
