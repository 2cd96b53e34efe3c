"""This module finds the definitions that runs of the service are pinned to."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from msgspec import Struct

from ostinato.cli.code import Code, choose, refuse_unsound
from ostinato.cli.opening import Opened, open_project
from ostinato.client.flows import FlowDirectory
from ostinato.clock import SystemClock
from ostinato.errors import UnknownFlow
from ostinato.executors.code_host import CodeHost
from ostinato.model.flow import FlowDefinition
from ostinato.project.discovery import Project, find_project
from ostinato.project.target import Target

Answer = TypeVar("Answer")


class ServiceFlow(Struct, frozen=True):
    """A flow as new runs of it are to be.

    Attributes:
        opened: The project, whose store has the definitions.
        flow: The flow.
        version: Of the definitions.
    """

    opened: Opened
    flow: FlowDefinition
    version: str


def with_service_flow(
    name: str, folder: Path | None, use: Callable[[ServiceFlow], Answer]
) -> Answer:
    """Return what a function makes of a flow whose runs are left to the service.

    Where a worker serves it, that is the version which the worker has. Else the code of the
    project is loaded; a flow of a script, outside of projects, is known by what was served
    before.

    Args:
        name: Of the flow.
        folder: In the project; None for the working directory.
        use: Called while the store is open.

    Raises:
        UnknownFlow: There is no such flow.
        UsageError: It is unsound: its schedule, a pool or an executor is wrong.
    """
    project = find_project(Target(path=folder.resolve()) if folder is not None else None)
    if project.is_implicit:
        return _use_known(name, project, use)
    if project.has_store:
        with open_project(project) as opened:
            served = _served(name, opened)
            if served is not None:
                return use(served)
    target = Target(flow=name)
    # The child process loads the code; meanwhile this one opens the store.
    host = CodeHost.fork(lambda: _load(project, target))
    try:
        with open_project(project) as opened:
            code = Code(name, target, project, host)
            manifest, data, version = code.definitions()
            flow = choose(code, manifest)
            refuse_unsound(flow, project)
            opened.store.save_manifest(version, project.name, data)
            return use(ServiceFlow(opened, flow, version))
    finally:
        host.close()


def _served(name: str, opened: Opened) -> ServiceFlow | None:
    """Return a flow as living workers have it."""
    if not opened.client.is_served_by("worker"):
        # What was served until then may be long out of date.
        return None
    try:
        found = FlowDirectory(opened.store, opened.project, SystemClock()).find(name)
    except UnknownFlow:
        return None
    return ServiceFlow(opened, found.definition, found.version)


def _load(project: Project, target: Target):  # type: ignore[no-untyped-def]  # a Loaded, which only the child imports
    from ostinato.project.loading import load_project

    return load_project(project, target)


def _use_known(name: str, project: Project, use: Callable[[ServiceFlow], Answer]) -> Answer:
    from ostinato.coordinator.new_runs import known_manifest
    from ostinato.model.manifest import encode_manifest, version_of

    if not project.has_store:
        hint = "go to the folder of its project, or use --project FOLDER"
        raise UnknownFlow(f"there is no flow {name!r} outside of projects", hint=hint)
    with open_project(project) as opened:
        manifest = known_manifest(opened.store, project, name)
        flow = manifest.flow(name)
        assert flow is not None, "known_manifest returns definitions with the flow"
        data = encode_manifest(manifest)
        version = version_of(data)
        opened.store.save_manifest(version, project.name, data)
        return use(ServiceFlow(opened, flow, version))
