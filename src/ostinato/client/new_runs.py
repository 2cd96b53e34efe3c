"""This module fills in what a run is created with."""

import sys
from collections.abc import Mapping
from typing import Any

import msgspec

from ostinato.client.run_names import run_name
from ostinato.engine.timetable import data_interval
from ostinato.model.flow import FlowDefinition
from ostinato.project.commit import read_commit
from ostinato.project.discovery import Project
from ostinato.store.records import NewRun

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
    interval_us: tuple[int, int] | None = None,
    code: str = "",
    trigger: str = "manual",
    home: str = LOCAL,
    target: str = "",
    tags: tuple[str, ...] = (),
    logical_key: str | None = None,
    priority: int = 0,
) -> NewRun:
    """Return a run of a flow as it is to be created.

    Args:
        flow: What is to run.
        manifest_version: Of its definitions.
        params: Values that were validated against its parameters.
        project: Whose run it is.
        date_us: Logical date, in microseconds since the epoch.
        interval_us: Start and end of its data; None for what the flow's schedule says.
        code: What ``code_version`` returns.
        trigger: What asked for it.
        home: Who drives it.
        target: What a code host loads to find the flow again.
        tags: Beside those of the flow.
        logical_key: There is one run of the flow with it.
        priority: Added to that of the flow; of the runs that wait for a worker, larger ones are
            claimed first.
    """
    timezone = flow.timezone or project.settings.timezone
    start_us, end_us = interval_us or data_interval(flow.schedule, timezone, date_us)
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
        priority=flow.priority + priority,
    )


def code_version(project: Project) -> str:
    """Return the versions of the code of a project, as JSON."""
    versions = {"commit": read_commit(project.root), "python": sys.version.split()[0]}
    return msgspec.json.encode(versions).decode()
