"""This module finds what is wrong with definitions that loaded: what a run would stumble over."""

import os
import re
from collections.abc import Collection, Iterator, Mapping
from typing import get_args

from msgspec.structs import astuple, replace

from ostinato.authoring.quantities import bytes_of
from ostinato.authoring.suggestions import did_you_mean
from ostinato.engine.occurrences import FlowTimetable, has_ticks
from ostinato.engine.queueing import DEFAULT_POOL
from ostinato.engine.timetable import check_schedule, zone_of
from ostinato.errors import InvalidArgument
from ostinato.model.flow import FlowDefinition, Source, TaskDefinition
from ostinato.model.manifest import DefinitionProblem, Manifest
from ostinato.project.alert_checks import problems_of_alerts, problems_of_callbacks
from ostinato.project.connection_types import connections_of
from ostinato.project.discovery import Project
from ostinato.project.settings import ExecutorName

#: Before all schedules: the year 1900.
_LONG_AGO_US = -2_208_988_800_000_000

_EXECUTORS = get_args(ExecutorName)
_NO_POOL = "declare it under 'pools' in ostinato.yaml, or by ostinato pools set"


def find_problems(
    manifest: Manifest,
    project: Project,
    *,
    pools: Mapping[str, int] | None = None,
    connections: Collection[str] = (),
) -> list[DefinitionProblem]:
    """Return all problems of a project: of loading first, then of its flows in order.

    Args:
        manifest: What was loaded.
        project: Whose settings hold.
        pools: Slots of the store's pools.
        connections: Ids of the store's connections.
    """
    found = list(manifest.problems)
    found.extend(_unknown_connections(manifest, project, connections))
    for flow in manifest.flows:
        found.extend(problems_of_flow(flow, project, pools=pools))
    found.extend(problems_of_alerts(project))
    return found


def _unknown_connections(
    manifest: Manifest, project: Project, stored: Collection[str]
) -> Iterator[DefinitionProblem]:
    """Yield the connections that folders name and that are nowhere."""
    if project.settings.secrets.backends:
        return  # They are asked in runs only, and may know any.
    surrounding = connections_of(os.environ)
    known = {*project.settings.connections, *stored, *surrounding}
    for name, file, line, column in map(astuple, manifest.connections):
        # As variables are named: what no shell could set stands as underscores too.
        plain = re.sub(r"\W", "_", name.lower(), flags=re.ASCII)
        if name not in known and surrounding.isdisjoint((name.lower(), plain)):
            message = f"connection {name!r} is unknown"
            hint = did_you_mean(name, known) or f"ostinato connections set {name} URI"
            yield DefinitionProblem("F031", message, file, line, hint, column, "warning")


def problems_of_flow(
    flow: FlowDefinition, project: Project, *, pools: Mapping[str, int] | None = None
) -> Iterator[DefinitionProblem]:
    """Yield what is wrong with one flow: schedule, zone, executors, pools, notifiers."""
    slots = {**(pools or {}), **project.settings.pools}
    yield from _of_schedule(flow, project)
    if flow.executor and flow.executor not in _EXECUTORS:
        yield _executor_problem(project, flow.source, f"flow {flow.name!r}", flow.executor)
    for source, code, message, hint in problems_of_callbacks(flow, project):
        yield _problem(project, source, code, message, hint)
    for task in flow.tasks:
        yield from _of_task(task, project, slots)


def _of_schedule(flow: FlowDefinition, project: Project) -> Iterator[DefinitionProblem]:
    """Yield why a flow would never fire, or could not be run when it does."""
    is_sound = True
    for check in (lambda: check_schedule(flow.schedule), lambda: zone_of(flow.timezone)):
        try:
            check()
        except InvalidArgument as error:
            is_sound = False
            message = f"flow {flow.name!r}: {error.message}"
            yield _problem(project, flow.source, error.code, message, error.hint)
    if not flow.schedule or not is_sound:
        return
    if has_ticks(flow.schedule) and (flow.end_at_us is not None or flow.start_at_us is not None):
        timetable = FlowTimetable(flow, project.settings.timezone)
        if timetable.next(_LONG_AGO_US) is None:
            message = f"flow {flow.name!r}: its schedule has no moment between start and end"
            yield _warning(project, flow.source, message, "it never fires")
    parameters = {parameter.name: parameter for parameter in flow.parameters}
    for name in flow.schedule_params:
        if name not in parameters:
            message = f"flow {flow.name!r}: schedule_params has {name!r}, which is no parameter"
            yield _problem(
                project, flow.source, "parameter", message, did_you_mean(name, parameters)
            )
    for parameter in flow.parameters:
        if parameter.is_required and parameter.name not in flow.schedule_params:
            message = f"flow {flow.name!r}: its schedule gives no {parameter.name!r}"
            yield _warning(project, flow.source, message, "give it a default, or schedule_params")


def _of_task(
    task: TaskDefinition, project: Project, pools: Mapping[str, int]
) -> Iterator[DefinitionProblem]:
    policy = task.policy
    if policy.executor and policy.executor not in _EXECUTORS:
        yield _executor_problem(project, task.source, f"task {task.id!r}", policy.executor)
    if policy.pool and policy.pool not in pools:
        message = f"task {task.id!r} asks for the pool {policy.pool!r}, which does not exist"
        hint = did_you_mean(policy.pool, pools) or _NO_POOL
        yield _problem(project, task.source, "unknown-pool", message, hint)
    slots = pools.get(policy.pool or DEFAULT_POOL, policy.pool_slots)
    if policy.pool_slots > slots:
        name = policy.pool or DEFAULT_POOL
        message = f"task {task.id!r} takes {policy.pool_slots} slots of pool {name!r} of {slots}"
        yield _problem(project, task.source, "unknown-pool", message, "it would never run")
    yield from _of_compute(task, project)


def _of_compute(task: TaskDefinition, project: Project) -> Iterator[DefinitionProblem]:
    asked, there_is = task.policy.compute, project.settings.compute
    amounts = {
        "cpu": (asked.cpu, there_is.cpu),
        "gpu": (asked.gpu, there_is.gpu),
        "memory": (asked.memory_bytes, bytes_of(there_is.memory)),
    }
    for name, (wanted, most) in amounts.items():
        if most and wanted > most:
            message = f"task {task.id!r} asks for {wanted:g} of {name}, and there is {most:g}"
            yield _problem(project, task.source, "too-much-compute", message, "it would never run")


def _executor_problem(
    project: Project, source: Source, subject: str, executor: str
) -> DefinitionProblem:
    message = f"{subject} asks for the executor {executor!r}, which does not exist"
    hint = did_you_mean(executor, _EXECUTORS) or f"there are {', '.join(_EXECUTORS)}"
    return _problem(project, source, "unknown-executor", message, hint)


def _warning(project: Project, source: Source, message: str, hint: str) -> DefinitionProblem:
    return replace(_problem(project, source, "schedule", message, hint), severity="warning")


def _problem(
    project: Project, source: Source, code: str, message: str, hint: str
) -> DefinitionProblem:
    place = project.readable(source.file)
    return DefinitionProblem(code, message, place, source.line if place else 0, hint)
