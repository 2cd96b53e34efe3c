"""This module is what a run is pinned to: its flow, and what all its attempts share."""

import os

from ostinato.authoring.quantities import bytes_of
from ostinato.coordinator.limits import Budget
from ostinato.errors import RunNotFound
from ostinato.model.flow import FlowDefinition
from ostinato.project.discovery import Project
from ostinato.project.settings import ComputeSettings
from ostinato.runtime.messages import RunInfo
from ostinato.store.protocol import Store
from ostinato.store.records import RunRow


def info_of(project: Project, row: RunRow, flow: FlowDefinition, started_us: int) -> RunInfo:
    """Return what all attempts of a run share.

    Args:
        project: Whose run it is.
        row: The run as it is stored.
        flow: Its definition.
        started_us: When it started.
    """
    return RunInfo(
        run_id=row.id,
        number=row.number,
        project=row.project,
        flow=row.flow,
        params=row.params,
        logical_date_us=row.logical_date_us,
        interval_start_us=row.interval_start_us,
        interval_end_us=row.interval_end_us,
        timezone=flow.timezone or project.settings.timezone,
        trigger=row.trigger,
        partition=row.partition,
        values_root=str(project.values_root),
        logs_root=str(project.logs_root),
        started_us=started_us,
        data_root=str(project.data_dir),
        name=row.name,
        is_traced=bool(project.settings.telemetry.endpoint),
    )


def budget_of(compute: ComputeSettings) -> Budget:
    """Return what tasks may ask of this machine; by default its cores, and no limit else."""
    return Budget(
        cpu=compute.cpu or os.cpu_count() or 1,
        gpu=compute.gpu,
        memory_bytes=bytes_of(compute.memory),
        is_cpu_given=bool(compute.cpu),
    )


def pinned_flow(store: Store, row: RunRow) -> FlowDefinition:
    """Return the flow of a run at the version that it is pinned to.

    Raises:
        RunNotFound: Its definitions are no longer in the store.
    """
    from ostinato.model.manifest import decode_manifest

    data = store.load_manifest(row.manifest_version)
    flow = decode_manifest(data).flow(row.flow) if data is not None else None
    if flow is None:
        message = f"the definitions of run {row.flow}#{row.number} are no longer in the store"
        raise RunNotFound(message)
    return flow


def changed_shape(old: FlowDefinition, new: FlowDefinition) -> str:
    """Return how a flow differs from the one a run began with, or "" if the run may go on.

    A run goes on with other code where its task ids and edges are the same.
    """
    before, after = {task.id for task in old.tasks}, {task.id for task in new.tasks}
    if gone := sorted(before - after):
        return f"task {gone[0]!r} is gone"
    if new_ones := sorted(after - before):
        return f"task {new_ones[0]!r} is new"
    if {(e.upstream, e.downstream) for e in old.edges} != {
        (e.upstream, e.downstream) for e in new.edges
    }:
        return "its edges are others"
    return ""
