"""This module lets tasks and groups of a folder wait for each other, one edge at a time.

An edge to a group goes to those of its tasks that, at that moment, wait for none of it, and an
edge from a group comes from those that none of it waits for. So the order in which edges are
made is part of what a folder means.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator

from ostinato.authoring.files.spec import Position

#: Where an edge comes from, by the ids of its ends.
Origins = dict[tuple[str, str], Position]


class Unit(ABC):
    """A task or a group, as the edges of a folder see it.

    Args:
        unit_id: In the flow.

    Attributes:
        upstream_task_ids: Tasks that an edge from here names.
        downstream_task_ids: Tasks whose edges name this.
        upstream_group_ids: Groups that this group itself waits for.
    """

    def __init__(self, unit_id: str) -> None:
        self.unit_id = unit_id
        self.upstream_task_ids: set[str] = set()
        self.downstream_task_ids: set[str] = set()
        self.upstream_group_ids: set[str] = set()

    @abstractmethod
    def tasks(self) -> "Iterator[TaskUnit]":
        """Yield the tasks that it stands for."""

    @abstractmethod
    def roots(self) -> "list[TaskUnit]":
        """Return its tasks that wait for no other of it."""

    @abstractmethod
    def leaves(self) -> "list[TaskUnit]":
        """Return its tasks that no other of it waits for."""

    @abstractmethod
    def wait_for(self, other: "Unit", origins: Origins, origin: Position) -> None:
        """Let it wait for another.

        Args:
            other: A task or a group.
            origins: Takes the edges between tasks that this amounts to.
            origin: Where it is written.
        """


class TaskUnit(Unit):
    """A task."""

    def tasks(self) -> "Iterator[TaskUnit]":
        """Yield the task itself."""
        yield self

    def roots(self) -> "list[TaskUnit]":
        """Return the task itself."""
        return [self]

    def leaves(self) -> "list[TaskUnit]":
        """Return the task itself."""
        return [self]

    def wait_for(self, other: Unit, origins: Origins, origin: Position) -> None:
        """Let it wait for another task, or for the leaves of a group.

        Args:
            other: A task or a group.
            origins: Takes the edges between tasks that this amounts to.
            origin: Where it is written.
        """
        if isinstance(other, GroupUnit):
            other.downstream_task_ids.add(self.unit_id)
        for task in other.leaves():
            task.downstream_task_ids.add(self.unit_id)
            self.upstream_task_ids.add(task.unit_id)
            origins.setdefault((task.unit_id, self.unit_id), origin)


class GroupUnit(Unit):
    """A group.

    Args:
        unit_id: In the flow.

    Attributes:
        members: Tasks and groups directly in it.
    """

    def __init__(self, unit_id: str) -> None:
        super().__init__(unit_id)
        self.members: list[Unit] = []

    def tasks(self) -> Iterator[TaskUnit]:
        """Yield all tasks in it, at any depth."""
        for member in self.members:
            yield from member.tasks()

    def roots(self) -> list[TaskUnit]:
        """Return its tasks that wait for no other of it."""
        tasks = list(self.tasks())
        inside = {task.unit_id for task in tasks}
        return [task for task in tasks if inside.isdisjoint(task.upstream_task_ids)]

    def leaves(self) -> list[TaskUnit]:
        """Return its tasks that no other of it waits for."""
        tasks = list(self.tasks())
        inside = {task.unit_id for task in tasks}
        return [task for task in tasks if inside.isdisjoint(task.downstream_task_ids)]

    def wait_for(self, other: Unit, origins: Origins, origin: Position) -> None:
        """Let its roots wait for another.

        Args:
            other: A task or a group.
            origins: Takes the edges between tasks that this amounts to.
            origin: Where it is written.
        """
        if isinstance(other, GroupUnit):
            self.upstream_group_ids.add(other.unit_id)
        else:
            self.upstream_task_ids.add(other.unit_id)
        for task in self.roots():
            task.wait_for(other, origins, origin)
