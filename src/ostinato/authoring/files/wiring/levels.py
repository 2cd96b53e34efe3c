"""This module lays out a folder and those beneath it: their metadata, names and groups."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from ostinato.authoring.files.spec import FileSpec, FolderSpec
from ostinato.authoring.files.task_specs import TaskSpec
from ostinato.authoring.files.wiring.units import GroupUnit, Unit
from ostinato.authoring.groups import TaskGroup

#: What METADATA hands on to all that is beneath.
INHERITED = ("connection", "owner", "params", "tags", "default_args")


class Level:
    """A folder: the flow's own, or that of a group.

    Args:
        folder: As it was read.
        parent: Around it, None for the flow's own.
        defaults: Where its METADATA says nothing.

    Attributes:
        metadata: What holds for it.
        group: What its tasks become part of.
        unit: The same, as edges see it.
        specs: Of its tasks.
        tasks: By the names that dependencies use.
    """

    def __init__(
        self, folder: FolderSpec, parent: "Level | None", defaults: Mapping[str, Any]
    ) -> None:
        self.folder = folder
        self.parent = parent
        self.name = folder.name
        self.keys = folder.keys
        self.metadata: dict[str, Any] = {**defaults, **self.keys.values}
        self.group: TaskGroup
        self.unit = GroupUnit("")
        self.specs: list[TaskSpec] = []
        self.tasks: dict[str, Unit] = {}

    @cached_property
    def is_prefixed(self) -> bool:
        """Whether its group puts its id before those of its tasks."""
        return self.parent is not None and bool(self.metadata.get("prefix_group_id", False))

    @cached_property
    def is_suffixed(self) -> bool:
        """Whether its name stands behind those of its tasks."""
        return self.parent is not None and bool(self.metadata.get("suffix_group_id", False))

    def named(self, task_id: str) -> str:
        """Return the name that a task of this folder has in its group."""
        if self.is_suffixed:
            return f"{task_id}_{self.name}"
        return f"{self.name}_{task_id}" if self.is_prefixed else task_id

    def around(self) -> "Iterator[Level]":
        """Yield the level itself and those around it, innermost first."""
        level: Level | None = self
        while level is not None:
            yield level
            level = level.parent

    def inherited(self) -> dict[str, Any]:
        """Return what the metadata from the flow's folder down to here hand on."""
        found: dict[str, Any] = {}
        for level in reversed(list(self.around())):
            for name, value in level.metadata.items():
                if isinstance(value, Mapping) and isinstance(found.get(name), Mapping):
                    found[name] = {**found[name], **value}
                else:
                    found[name] = value
        return found


def levels_of(
    folder: FolderSpec, flow_defaults: Mapping[str, Any], group_defaults: Mapping[str, Any]
) -> list[Level]:
    """Return the levels of a folder: each before those beneath it.

    Args:
        folder: Of the flow.
        flow_defaults: Where the METADATA of the flow says nothing; ``default_args`` add up.
        group_defaults: Where the METADATA of a group says nothing.
    """
    root = Level(folder, None, flow_defaults)
    below, above = flow_defaults.get("default_args"), folder.keys.get("default_args")
    if isinstance(below, Mapping) and isinstance(above, Mapping):
        root.metadata["default_args"] = {**below, **above}
    levels = [root]
    if not root.metadata.get("ignore_subfolders"):
        _add_below(root, group_defaults, levels)
    return levels


def _add_below(level: Level, defaults: Mapping[str, Any], levels: list[Level]) -> None:
    for folder in level.folder.folders:
        inner = Level(folder, level, defaults)
        levels.append(inner)
        _add_below(inner, defaults, levels)


def files_of(levels: Sequence[Level]) -> Iterator[FileSpec]:
    """Yield all files that were read, those that are broken and metadata among them."""
    for level in levels:
        if level.folder.metadata_file is not None:
            yield level.folder.metadata_file
        yield from level.folder.files
        yield from level.folder.broken
