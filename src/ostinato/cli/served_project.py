"""This module is the project of a process that goes on: its store, and its code in force."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from ostinato.executors.nursery import Nursery

if TYPE_CHECKING:
    from ostinato.cli.opening import Opened
    from ostinato.cli.service import Part
    from ostinato.errors import LoadError
    from ostinato.executors.code_host import CodeHost
    from ostinato.executors.reload import Reload
    from ostinato.executors.served_code import CodeChange, Save, ServedCode, ServedManifest
    from ostinato.model.identity import RunId
    from ostinato.model.log import LogRecord
    from ostinato.model.manifest import DefinitionProblem
    from ostinato.project.discovery import Project
    from ostinato.store.measures import StoreMeasures
    from ostinato.telemetry.exporter import Telemetry

logger = logging.getLogger(__name__)


class ServedProject(Struct, frozen=True):
    """A project whose code is kept in force.

    Attributes:
        opened: The project, its store, a client.
        code: What is in force of it.
        reload: The part of the service that follows its files.
        measures: What this process writes to the store; None where nobody looks.
        attendants: Parts that tell others what this process does.
    """

    opened: "Opened"
    code: "ServedCode"
    reload: "Reload"
    measures: "StoreMeasures | None" = None
    attendants: "tuple[Part, ...]" = ()


@contextmanager
def serve_project(
    folder: Path | None,
    *,
    overrides: Mapping[str, str] | None = None,
    admit: "Callable[[Project], None]" = lambda _: None,
    is_measured: bool = False,
) -> Iterator[ServedProject]:
    """Load a project and open its store; call this before threads are started.

    What could not be loaded is among ``code.problems``, and the rest is in force. Definitions are
    saved, and the flows that are served told of, before they come into force.

    Args:
        folder: In the project; None for the working directory.
        overrides: Settings from command-line flags.
        admit: Called with the project before anything is done with it; may raise.
        is_measured: Whether what this process writes to the store is measured.

    Raises:
        UsageError: There is no project.
        SettingsError: Its settings are wrong.
        StoreError: Its store cannot be used.
    """
    # First thing: this process has no threads yet, and little that the other would keep.
    nursery = Nursery.fork()
    try:
        with _serve(nursery, folder, overrides or {}, admit, is_measured=is_measured) as served:
            yield served
    finally:
        nursery.close()


@contextmanager
def _serve(
    nursery: Nursery,
    folder: Path | None,
    overrides: Mapping[str, str],
    admit: "Callable[[Project], None]",
    *,
    is_measured: bool,
) -> Iterator[ServedProject]:
    # After the nursery was forked: it needs none of this.
    from ostinato.cli.opening import open_project
    from ostinato.executors.reload import Reload
    from ostinato.executors.served_code import ServedCode

    project = _find(folder, overrides)
    admit(project)
    saving: Save | None = None

    def save(served: "ServedManifest", versions: Mapping[str, str]) -> None:
        assert saving is not None
        saving(served, versions)

    code = ServedCode(project, nursery, overrides=overrides, save=save)
    # Before the first load: so no change is missed.
    reload = Reload(code, project)
    try:
        begun = _begin(code)
        # While the code is loaded.
        measures = _measures() if is_measured else None
        telemetry = _telemetry(project)
        observers = [each for each in (measures, telemetry) if each is not None]
        with open_project(project, observers=observers) as opened:
            saving = _saving(opened)
            _take(code, begun)
            attendants = () if telemetry is None else (telemetry,)
            yield ServedProject(opened, code, reload, measures, attendants)
    finally:
        code.close()


def _begin(code: "ServedCode") -> "CodeHost | LoadError":
    """Begin the first load, or return why there is none."""
    from ostinato.errors import LoadError

    try:
        return code.begin()
    except LoadError as error:
        return error


def _take(code: "ServedCode", begun: "CodeHost | LoadError") -> None:
    """Put in force what the first load gives; what was refused is loaded again by ``Reload``."""
    from ostinato.errors import OstinatoError

    if isinstance(begun, OstinatoError):
        code.refuse(begun)
        return
    try:
        begun.loaded()
    except OstinatoError as error:
        code.refuse(error)
    else:
        code.accept(begun)


def _measures() -> "StoreMeasures":
    from ostinato.store.measures import StoreMeasures

    return StoreMeasures()


def _telemetry(project: "Project") -> "Telemetry | None":
    """Return what sends traces and logs, if the settings say where to."""
    settings = project.settings.telemetry
    if not settings.endpoint:
        return None
    from ostinato.client.local import GrowingLog
    from ostinato.model.identity import parse_path
    from ostinato.model.layout import log_path
    from ostinato.telemetry.exporter import Telemetry
    from ostinato.telemetry.receiver import Receiver

    def read_log(
        run_id: "RunId", task: str, path: str, generation: int, attempt: int
    ) -> "Iterator[LogRecord]":
        place = log_path(run_id, task, parse_path(path), generation, attempt)
        log = GrowingLog(project.logs_root / place)
        while lines := log.read():
            yield from lines

    receiver = Receiver(settings.endpoint, settings.headers, settings.service, settings.logs)
    return Telemetry(receiver, project.name, read_log=read_log)


def problems_of(served: ServedProject) -> list["DefinitionProblem"]:
    """Return what is wrong with the code, and with flows that are in force all the same.

    Those have a pool or an executor that does not exist, or a schedule that never fires.
    """
    from ostinato.errors import StoreError
    from ostinato.project.checks import problems_of_flow

    opened, code = served.opened, served.code
    found = list(code.problems)
    try:
        pools = {row.name: row.slots for row in opened.store.vault.pools()}
    except StoreError:
        # Which is told by whoever cannot go on without it.
        return found
    for flow in code.flows.values():
        found.extend(problems_of_flow(flow.definition, opened.project, pools=pools))
    return found


def log_changes(code: "ServedCode") -> None:
    """Log what is wrong with the code, and whenever it changes."""
    known: set[str] = set()

    def log(problems: "Iterable[DefinitionProblem]") -> None:
        told = {str(problem): problem for problem in problems}
        for text, problem in told.items():
            if text not in known:
                logger.log(logging.ERROR if problem.is_error else logging.WARNING, "%s", text)
        known.clear()
        known.update(told)

    def note(change: "CodeChange") -> None:
        if change.version:
            logger.info("the code has changed", extra={"version": change.version})
        log(change.problems)

    code.subscribe(note)
    log(code.problems)


def _saving(opened: "Opened") -> "Save":
    from ostinato.client.flows import FlowDirectory
    from ostinato.clock import SystemClock

    directory = FlowDirectory(opened.store, opened.project, SystemClock())

    def save(served: "ServedManifest", versions: Mapping[str, str]) -> None:
        opened.store.save_manifest(served.version, opened.project.name, served.data)
        directory.publish(versions)

    return save


def _find(folder: Path | None, overrides: Mapping[str, str]) -> "Project":
    from ostinato.project.discovery import check_target, find_project
    from ostinato.project.target import Target

    target = Target(path=folder.resolve()) if folder is not None else Target()
    project = find_project(target, overrides=overrides)
    check_target(project, Target())
    return project
