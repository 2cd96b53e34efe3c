"""This module holds task groups: named, nestable sets of tasks."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextvars import ContextVar, Token
from typing import Any, Protocol, Self

from ostinato.authoring.places import calling_place, relative_place
from ostinato.authoring.policies import PolicyReader, split_defaults
from ostinato.authoring.references import SeriesReference
from ostinato.authoring.templates import FlowTemplates
from ostinato.authoring.wiring import Graph, Node
from ostinato.errors import InvalidArgument, Place
from ostinato.model.step import BODY

_ID = re.compile(r"[\w.-]+")


class Flow(Graph, Protocol):
    """What groups and tasks need of a flow under construction."""

    @property
    def resources(self) -> Mapping[str, Any]:
        """Configured objects by name."""
        ...

    @property
    def templates(self) -> FlowTemplates:
        """What the templates of its tasks share."""
        ...

    @property
    def root(self) -> "TaskGroup":
        """The group of all that stands in no other group."""
        ...

    @property
    def source_root(self) -> str:
        """Folder that files are named relative to."""
        ...

    def add_task(self, task: Node) -> None:
        """Take in a task."""
        ...

    def add_group(self, group: "TaskGroup") -> None:
        """Take in a group."""
        ...

    def neighbours(self, task_id: str) -> tuple[Sequence[str], Sequence[str]]:
        """Return the ids of the tasks that a task waits for, and of those that wait for it."""
        ...

    def known_ids(self) -> Mapping[str, Node]:
        """Return all tasks and groups by id."""
        ...

    def free_id(self, wanted: str) -> str:
        """Return the id itself, or one with ``__1``, ``__2`` ... where it is taken."""
        ...


class TaskGroup(Node):
    """Hold tasks and other groups under a name; edges to it reach all that it holds.

    Args:
        group_id: Unique in what is around it.
        prefix_group_id: Whether the ids of its tasks begin with its own and a dot.
        parent_group: The group around it; by default the one that is open.
        dag: The flow; by default the one that is open.
        default_args: Policies of its tasks where they say nothing, and arguments of their
            operators; each takes those that it knows.
        tooltip: One line for people.

    Raises:
        InvalidArgument: If no flow is open and none is given.
        DuplicateTask: If the id is taken.

    Example:
        ``with TaskGroup("load") as load: ...`` and then ``extract >> load``.
    """

    graph: Flow
    policies: PolicyReader
    place: Place

    def __init__(
        self,
        group_id: str,
        prefix_group_id: bool = True,  # noqa: FBT001, FBT002 - Airflow's order of arguments
        *,
        parent_group: "TaskGroup | None" = None,
        dag: Flow | None = None,
        default_args: Mapping[str, Any] | None = None,
        tooltip: str = "",
    ) -> None:
        self.place = calling_place(self)
        around = parent_group or group_for(dag)
        if around is None:
            message = f"group {group_id!r} stands in no flow"
            raise InvalidArgument(
                message, place=relative_place(self.place), hint="open it inside `with DAG(...):`"
            )
        check_id(group_id, "group", self.place)
        self.parent: TaskGroup | None = around
        self.label = group_id
        self.node_id = around.child_id(group_id)
        self.graph = around.graph
        self.child_prefix = f"{self.node_id}." if prefix_group_id else ""
        self.tooltip = tooltip
        self.policies = around.policies
        #: Arguments of operators where they say nothing.
        self.operator_defaults: Mapping[str, Any] = around.operator_defaults
        if default_args:
            self._set_defaults(default_args)
        #: What it is mapped over, by argument, the last varying fastest; empty if it is not.
        self.factors: dict[str, SeriesReference] = {}
        self.children: list[Node] = []
        self._tokens: list[Token[TaskGroup | None]] = []
        self.graph.add_group(self)
        around.children.append(self)

    @classmethod
    def of_flow(
        cls,
        flow: Flow,
        default_args: Mapping[str, Any],
        place: Place,
        *,
        inherited: PolicyReader | None = None,
    ) -> "TaskGroup":
        """Return the group of all that stands in no other group.

        Args:
            flow: The flow.
            default_args: Those of the flow.
            place: Where it is declared.
            inherited: Policies of the project.
        """
        root = cls.__new__(cls)
        root.place = place
        root.parent = None
        root.label = root.node_id = root.child_prefix = root.tooltip = ""
        root.graph = flow
        root.policies = inherited or PolicyReader({})
        root.operator_defaults = {}
        root._set_defaults(default_args)
        root.factors = {}
        root.children = []
        root._tokens = []
        return root

    def _set_defaults(self, default_args: Mapping[str, Any]) -> None:
        """Lay defaults over those of what is around."""
        policies, others = split_defaults(default_args, self.place)
        if policies:
            self.policies = PolicyReader(policies, parent=self.policies, place=self.place)
        if others:
            self.operator_defaults = {**self.operator_defaults, **others}

    @property
    def group_id(self) -> str:
        """Its id in the flow."""
        return self.node_id

    @property
    def dag(self) -> Flow:
        """The flow."""
        return self.graph

    def child_id(self, label: str) -> str:
        """Return the id in the flow of something declared in this group."""
        return self.child_prefix + label

    def around(self) -> "Iterator[TaskGroup]":
        """Yield the group itself and those around it, innermost first, without the root."""
        group: TaskGroup | None = self
        while group is not None and group.parent is not None:
            yield group
            group = group.parent

    def mapped_around(self) -> "tuple[TaskGroup, ...]":
        """Return the mapped groups among ``around``, outermost first."""
        return tuple(group for group in self.around() if group.factors)[::-1]

    def tasks(self) -> Iterator[Node]:
        """Yield all tasks in it, at any depth, in the order of declaration."""
        stack = [iter(self.children)]
        while stack:
            for child in stack[-1]:
                if isinstance(child, TaskGroup):
                    stack.append(iter(child.children))
                    break
                yield child
            else:
                stack.pop()

    def __enter__(self) -> Self:
        self._tokens.append(open_group.set(self))
        return self

    def __exit__(self, *_: object) -> None:
        open_group.reset(self._tokens.pop())

    def __repr__(self) -> str:
        return f"<TaskGroup {self.node_id!r}>"


#: The innermost group whose ``with`` block or function body is being read.
open_group: ContextVar[TaskGroup | None] = ContextVar("ostinato_open_group", default=None)


def group_for(dag: Flow | None) -> TaskGroup | None:
    """Return the group that something declared at this moment belongs to, if any.

    Args:
        dag: The flow that the user named, or None.
    """
    group = open_group.get()
    if dag is None or (group is not None and group.graph is dag):
        return group
    return dag.root


def check_id(label: str, what: str, place: Place) -> None:
    """Refuse an id that cannot be written in a URL or a command.

    Raises:
        InvalidArgument: If it is no text of letters, digits, ``_``, ``-`` and ``.``.
    """
    if _ID.fullmatch(str(label)) or label == BODY:
        return
    raise InvalidArgument(
        f"{what} id {label!r} is not made of letters, digits, '_', '-' and '.'",
        place=relative_place(place),
    )


def roots_and_leaves(
    members: Sequence[str],
    upstream: Mapping[str, Sequence[str]],
    downstream: Mapping[str, Sequence[str]],
    teardowns: Collection[str] = (),
) -> tuple[list[str], list[str]]:
    """Return the tasks of a group that wait for none of it, and those that none of it awaits.

    What waits for a group does not wait for its teardowns, unless there is nothing else in it.

    Args:
        members: Ids of all tasks in the group.
        upstream: By id, what a task waits for.
        downstream: By id, what waits for a task.
        teardowns: Ids of tasks that are passed over among the leaves.
    """
    inside = set(members)
    roots = [task for task in members if inside.isdisjoint(upstream.get(task, ()))]
    if teardowns and not inside <= set(teardowns):
        inside.difference_update(teardowns)
        members = [task for task in members if task in inside]
    leaves = [task for task in members if inside.isdisjoint(downstream.get(task, ()))]
    return roots, leaves
