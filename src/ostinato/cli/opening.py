"""This module opens the store of a project for the commands that name runs."""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
from msgspec import Struct

from ostinato.client.local import LocalClient
from ostinato.errors import RunNotFound, UnknownTask, UsageError
from ostinato.model.flow import FlowDefinition
from ostinato.model.state import RunState
from ostinato.project.discovery import Project, find_project
from ostinato.project.target import Target
from ostinato.store.opening import open_store_of
from ostinato.store.protocol import Store
from ostinato.store.records import RunRow

if TYPE_CHECKING:
    from ostinato.store.observed import StoreObserver

_UNFINISHED = {RunState.PAUSED: "suspended"}

_TASK_RUN = re.compile(r"(.+?)(?:\[(\d+(?:\.\d+)*)\])?")


class Opened(Struct, frozen=True):
    """A project with its store.

    Attributes:
        project: The project.
        store: Where its runs are recorded.
        client: Asks the store.
    """

    project: Project
    store: Store
    client: LocalClient


@contextmanager
def open_project(
    project: Project, *, observers: "Sequence[StoreObserver]" = ()
) -> Iterator[Opened]:
    """Open the store of a project, made if it is missing.

    Args:
        project: The project.
        observers: Told of what this process writes.
    """
    prepare_data(project)
    store = open_store_of(project)
    try:
        seen = store
        for observer in observers:
            from ostinato.store.observed import observed

            seen = observed(seen, observer)
        yield Opened(project, seen, client_of(project, seen))
    finally:
        store.close()


@contextmanager
def open_runs(folder: Path | None) -> Iterator[Opened]:
    """Open what was recorded of a project.

    Args:
        folder: In the project; None for the working directory.

    Raises:
        RunNotFound: Nothing has ever been recorded there.
    """
    project = find_project(Target(path=folder.resolve()) if folder is not None else None)
    if not project.has_store:
        where = "outside of projects" if project.is_implicit else f"in project {project.name!r}"
        hint = "go to its folder, or use --project FOLDER"
        raise RunNotFound(f"no run has been recorded {where}", hint=hint)
    with open_project(project) as opened:
        yield opened


def stored_pools(project: Project) -> dict[str, int]:
    """Return the slots of the pools that the store of a project has."""
    if not project.has_store:
        return {}
    store = open_store_of(project)
    try:
        return {row.name: row.slots for row in store.vault.pools()}
    finally:
        store.close()


def stored_connections(project: Project) -> set[str]:
    """Return the ids of the connections that the store of a project has; nothing is decrypted."""
    if not project.has_store:
        return set()
    store = open_store_of(project)
    try:
        return {row.conn_id for row in store.vault.connections()}
    finally:
        store.close()


def client_of(project: Project, store: Store) -> LocalClient:
    """Return a client on an open store."""
    return LocalClient(store, values_root=project.values_root, logs_root=project.logs_root)


def user_name() -> str:
    """Return who uses this process, for what is recorded of it."""
    import getpass
    import os

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A user without a name, as in containers: the class depends on the version of Python.
        return f"user {os.getuid()}"


def name_of(row: RunRow) -> str:
    """Return what people call a run, such as ``etl#17``."""
    return f"{row.flow}#{row.number}"


def title_of(row: RunRow) -> str:
    """Return the name of a run, with what its flow's template calls it: ``etl#17 (north)``."""
    return f"{name_of(row)} ({row.name})" if row.name else name_of(row)


def is_interrupted(client: LocalClient, row: RunRow) -> bool:
    """Whether a run has not ended and nobody drives it."""
    return not row.state.is_terminal and client.owner(row) is None


def unfinished(row: RunRow, resume: str) -> str:
    """Return why nobody drives a run that has not ended, and what goes on with it.

    Args:
        row: The run.
        resume: What a person does about it.
    """
    from ostinato.client.new_runs import SERVICE

    why = _UNFINISHED.get(row.state, "interrupted")
    if row.home == SERVICE and row.state is RunState.QUEUED:
        return "waits for a worker"
    if row.home == SERVICE:
        return f"{why}: a worker goes on"
    return f"{why}: {resume} goes on"


def parse_task_run(
    text: str, flow: FlowDefinition | None, recorded: Iterable[str] = ()
) -> tuple[str, str | None]:
    """Return task id and map path of what a person wrote: ``load`` or ``load[3.17]``.

    Args:
        text: What was written.
        flow: The run's definition, None where it is no longer kept.
        recorded: Tasks that the run has beside those of the definition, being steps.

    Raises:
        UnknownTask: The flow has no such task.
    """
    found = _TASK_RUN.fullmatch(text)
    if found is None:
        raise UsageError(f"{text!r} names no task run", hint="write load or load[3]")
    task_id, path = found[1], found[2]
    names = list(dict.fromkeys([*(task.id for task in flow.tasks), *recorded])) if flow else []
    if flow is not None and task_id not in names:
        from ostinato.authoring.suggestions import did_you_mean

        hint = did_you_mean(task_id, names) or f"its tasks are {', '.join(names[:10])}"
        raise UnknownTask(f"flow {flow.name!r} has no task {task_id!r}", hint=hint)
    return task_id, path


def prepare_data(project: Project) -> None:
    """Make the folder of a project's data if it is missing."""
    if project.data_dir.is_dir():
        return
    project.data_dir.mkdir(parents=True)
    if project.is_implicit:
        click.echo(f"Runs outside of projects are kept in {project.data_dir}", err=True)
    else:
        # Its data belong in no repository, whatever the project's own file says.
        (project.data_dir / ".gitignore").write_text("*\n", encoding="utf-8")
