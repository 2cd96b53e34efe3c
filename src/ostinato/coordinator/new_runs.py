"""This module fills in what a run is created with."""

import sys
from collections.abc import Mapping
from typing import Any

import msgspec

from ostinato.client.run_names import run_name
from ostinato.coordinator.triggered_runs import Asked, target_in_file
from ostinato.engine.timetable import data_interval
from ostinato.errors import UnknownFlow
from ostinato.model.flow import FlowDefinition
from ostinato.model.manifest import Manifest, decode_manifest, encode_manifest, version_of
from ostinato.project.commit import read_commit
from ostinato.project.discovery import Project
from ostinato.store.protocol import RunFilter, Store
from ostinato.store.records import NewRun, RunRow

#: Who drives a run: the process that created it, or whoever serves its flow.
LOCAL = "local"
SERVICE = "service"


def run_to_create(
    flow: FlowDefinition,
    manifest_version: str,
    params: Mapping[str, Any],
    *,
    project: Project,
    date_us: int,
    code: str = "",
    trigger: str = "manual",
    home: str = LOCAL,
    target: str = "",
    tags: tuple[str, ...] = (),
    logical_key: str | None = None,
) -> NewRun:
    """Return a run of a flow as it is to be created.

    Args:
        flow: What is to run.
        manifest_version: Of its definitions.
        params: Values that were validated against its parameters.
        project: Whose run it is.
        date_us: Logical date, in microseconds since the epoch.
        code: What ``code_version`` returns.
        trigger: What asked for it.
        home: Who drives it.
        target: What a code host loads to find the flow again.
        tags: Beside those of the flow.
        logical_key: There is one run of the flow with it.
    """
    timezone = flow.timezone or project.settings.timezone
    start_us, end_us = data_interval(flow.schedule, timezone, date_us)
    return NewRun(
        project=project.name,
        flow=flow.name,
        manifest_version=manifest_version,
        params=msgspec.json.encode(params),
        trigger=trigger,
        home=home,
        logical_key=logical_key,
        logical_date_us=date_us,
        interval_start_us=start_us,
        interval_end_us=end_us,
        tags=(*flow.tags, *tags),
        target=target,
        code=code,
        name=run_name(flow, params, date_us, timezone),
    )


def leave_run(
    store: Store,
    project: Project,
    manifest: Manifest,
    asked: Asked,
    *,
    code: str,
    now_us: int,
) -> RunRow:
    """Create a run that nobody drives yet, and return it; one that is there already is left.

    Args:
        store: Where it is recorded.
        project: Whose run it is.
        manifest: Its definitions.
        asked: For what.
        code: What ``code_version`` returns.
        now_us: Logical date of a run that is asked for without one.
    """
    data = encode_manifest(manifest)
    version = version_of(data)
    store.save_manifest(version, project.name, data)
    new = run_to_create(
        asked.flow,
        version,
        asked.params,
        project=project,
        date_us=now_us if asked.date_us is None else asked.date_us,
        code=code,
        trigger=asked.trigger,
        home=SERVICE,
        target=target_in_file(asked.flow),
        tags=(asked.tag,) if asked.tag else (),
        logical_key=asked.logical_key or None,
    )
    return store.create_runs([new])[0]


def known_manifest(store: Store, project: Project, flow: str) -> Manifest:
    """Return the definitions of a flow that has run, or that somebody has served.

    Args:
        store: Where they are kept.
        project: Whose flow it is.
        flow: Its name.

    Raises:
        UnknownFlow: There is none.
    """
    newest, _ = store.runs(RunFilter(flow=flow), limit=1)
    kept = store.load_manifest(newest[0].manifest_version) if newest else None
    for data in [kept] if kept is not None else store.manifests(project.name):
        manifest = decode_manifest(data)
        if manifest.flow(flow) is not None:
            return manifest
    message = f"there was no run of a flow {flow!r} in project {project.name!r}"
    raise UnknownFlow(message, hint="run or serve it once, or start it by its object")


def code_version(project: Project) -> str:
    """Return the versions of the code of a project, as JSON."""
    versions = {"commit": read_commit(project.root), "python": sys.version.split()[0]}
    return msgspec.json.encode(versions).decode()
