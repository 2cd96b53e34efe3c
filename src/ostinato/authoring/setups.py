"""This module marks tasks as setups and teardowns, and puts work between them."""

from collections.abc import Iterable, Mapping, Sequence
from contextvars import ContextVar, Token
from typing import Any, Protocol, Self

import msgspec

from ostinato.authoring.groups import Flow, TaskGroup, roots_and_leaves
from ostinato.authoring.places import calling_place, relative_place
from ostinato.authoring.policies import Settings
from ostinato.authoring.wiring import connect, nodes_of
from ostinato.errors import InvalidArgument
from ostinato.model.flow import TaskKind
from ostinato.model.policy import TriggerRule

#: What a task may be and still become a setup or a teardown.
_PLAIN = (TaskKind.NORMAL, TaskKind.SENSOR)


class Markable(Protocol):
    """A task that can become a setup or a teardown."""

    node_id: str
    kind: TaskKind
    graph: Flow | None
    settings: Settings


def mark_setup(task: Markable) -> None:
    """Make a task a setup; it may be one already.

    Raises:
        InvalidArgument: It decides what runs, or is a teardown.
    """
    _mark(task, TaskKind.SETUP)


def mark_teardown(task: Markable, setups: Any = None, *, fails_run: bool | None = None) -> None:
    """Make a task the teardown of setups.

    Args:
        task: It runs once all that it waits for has ended, if one of its setups succeeded.
        setups: A task, result, or a list of them; they become setups, and it waits for them.
        fails_run: Whether its failure fails the run; None leaves it as it is.

    Raises:
        InvalidArgument: One of them decides what runs, or is of the other kind.
    """
    _mark(task, TaskKind.TEARDOWN)
    policy = task.settings.policy
    changes: dict[str, Any] = {}
    if policy.trigger_rule is TriggerRule.ALL_SUCCESS:
        changes["trigger_rule"] = TriggerRule.ALL_DONE_SETUP_SUCCESS
    if fails_run is not None:
        changes["on_failure_fail_run"] = fails_run
    task.settings = task.settings._replace(policy=msgspec.structs.replace(policy, **changes))
    for setup in () if setups is None else nodes_of(setups):
        if isinstance(setup, TaskGroup):
            message = f"group {setup.node_id!r} cannot be a setup"
            raise InvalidArgument(
                message, place=relative_place(calling_place()), hint="name the tasks in it"
            )
        mark_setup(setup)  # type: ignore[arg-type]  # nodes are groups or tasks
        connect(setup, task)


def _mark(task: Markable, kind: TaskKind) -> None:
    if task.kind is kind:
        return
    if task.kind not in _PLAIN:
        message = f"task {task.node_id!r} is a {task.kind.value} and cannot be a {kind.value}"
        raise InvalidArgument(message, place=relative_place(calling_place()))
    task.kind = kind


class Scope:
    """What is declared inside ``with teardown:``; it is put between the setups and the teardown.

    Args:
        task: The teardown, or a setup.

    Raises:
        InvalidArgument: The task is neither, or belongs to no flow.
    """

    def __init__(self, task: Markable) -> None:
        problem = hint = ""
        if task.kind not in (TaskKind.SETUP, TaskKind.TEARDOWN):
            problem, hint = "is neither setup nor teardown", "say .as_teardown(setups=...) first"
        elif task.graph is None:
            problem, hint = "belongs to no flow", "make it inside `with DAG(...):`"
        if problem:
            message = f"task {task.node_id!r} {problem} and opens no scope"
            raise InvalidArgument(message, place=relative_place(calling_place()), hint=hint)
        assert task.graph is not None
        self._task = task
        self._graph: Flow = task.graph
        self._before: frozenset[str] = frozenset()
        self._added: dict[str, None] = {}
        self._tokens: list[Token[Scope | None]] = []

    def add_task(self, *tasks: Any) -> None:
        """Take in tasks that were declared before.

        Args:
            tasks: Tasks, groups or results.
        """
        for node in nodes_of(tasks):
            members = node.tasks() if isinstance(node, TaskGroup) else (node,)
            self._added.update((member.node_id, None) for member in members)

    def __enter__(self) -> Self:
        self._before = frozenset(self._graph.known_ids())
        self._tokens.append(_open_scope.set(self))
        return self

    def __exit__(self, exc_type: type[BaseException] | None, *_: object) -> None:
        _open_scope.reset(self._tokens.pop())
        if exc_type is not None:
            return
        nodes = self._graph.known_ids()
        setups, teardowns = self._ends(nodes)
        ends = {*setups, *teardowns}
        declared = (
            name
            for name, node in nodes.items()
            if name not in self._before and not isinstance(node, TaskGroup)
        )
        members = [name for name in dict.fromkeys((*declared, *self._added)) if name not in ends]
        around = _open_scope.get()
        if around is not None:
            around._added.update(dict.fromkeys((*ends, *members)))
        upstream = {name: self._graph.neighbours(name)[0] for name in members}
        downstream = {name: self._graph.neighbours(name)[1] for name in members}
        roots, leaves = roots_and_leaves(members, upstream, downstream)
        connect([nodes[name] for name in setups], [nodes[name] for name in roots])
        connect([nodes[name] for name in leaves], [nodes[name] for name in teardowns])

    def _ends(self, nodes: Mapping[str, Any]) -> tuple[Sequence[str], Sequence[str]]:
        """Return the ids of the setups and of the teardowns of the scope."""
        own = [self._task.node_id]
        upstream, downstream = self._graph.neighbours(self._task.node_id)
        if self._task.kind is TaskKind.TEARDOWN:
            return _of_kind(nodes, upstream, TaskKind.SETUP), own
        return own, _of_kind(nodes, downstream, TaskKind.TEARDOWN)


def _of_kind(nodes: Mapping[str, Any], names: Iterable[str], kind: TaskKind) -> list[str]:
    return [name for name in names if nodes[name].kind is kind]


#: The innermost scope whose ``with`` block is being read.
_open_scope: ContextVar[Scope | None] = ContextVar("ostinato_open_scope", default=None)
