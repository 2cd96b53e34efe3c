"""This module tells which tasks of a flow are others than they were."""

from collections.abc import Mapping
from pathlib import PurePosixPath

import msgspec

from ostinato.model.flow import FlowDefinition, Source, TaskDefinition
from ostinato.model.selection import dependencies

#: Names of the files that set defaults for everything beneath their folder.
METADATA_NAMES = ("METADATA.yml", "METADATA.yaml")


def changed_tasks(
    flow: FlowDefinition,
    sources: Mapping[str, str],
    *,
    before: FlowDefinition,
    sources_before: Mapping[str, str],
) -> dict[str, frozenset[str]]:
    """Return the tasks that are ``new``, and those that are ``modified``, the new ones included.

    A task is modified if it is declared otherwise, waits for other tasks, or its file, or the
    METADATA of a folder around that, has another content. Where it stands in its file does not
    count, nor what it imports.

    Args:
        flow: As it is.
        sources: Content hash of each source file by its path, of the same version.
        before: The flow as it was.
        sources_before: The hashes as they were.
    """
    known = {task.id: task for task in before.tasks}
    upstream, upstream_before = dependencies(flow), dependencies(before)
    files = {
        file
        for file in sources.keys() | sources_before.keys()
        if sources.get(file) != sources_before.get(file)
    }
    new = frozenset(task.id for task in flow.tasks if task.id not in known)
    modified = {
        task.id
        for task in flow.tasks
        if task.id in known
        and (
            _placeless(task) != _placeless(known[task.id])
            or upstream[task.id] != upstream_before[task.id]
            or not files.isdisjoint(_files_of(task))
        )
    }
    return {"new": new, "modified": new | modified}


def _placeless(task: TaskDefinition) -> TaskDefinition:
    return msgspec.structs.replace(task, source=Source(task.source.file))


def _files_of(task: TaskDefinition) -> list[str]:
    """Return the files that say what a task does."""
    if not task.source.file:
        return []
    path = PurePosixPath(task.source.file)
    around = [str(folder / name) for folder in path.parents for name in METADATA_NAMES]
    return [task.source.file, *around]
