"""This module builds the frozen definition of a flow from its operators, groups and edges."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ostinato.authoring.edge_types import (
    fits_several,
    item_of_dict,
    item_type,
    may_fit,
    written,
)
from ostinato.authoring.groups import TaskGroup, roots_and_leaves
from ostinato.authoring.operators.branch import BranchOperator
from ostinato.authoring.operators.operator import Operator
from ostinato.authoring.operators.python import FunctionOperator
from ostinato.authoring.places import relative_file, relative_place
from ostinato.authoring.references import (
    ElementReference,
    ItemReference,
    ParameterReference,
    Reference,
    ResultReference,
    SeriesReference,
)
from ostinato.authoring.signatures import UNTYPED
from ostinato.authoring.wiring import Node
from ostinato.errors import CycleError, EdgeTypeError, InvalidArgument, Place, UnknownTask
from ostinato.model.flow import (
    Edge,
    Expansion,
    Factor,
    GroupDefinition,
    Input,
    Source,
    TaskDefinition,
    TaskKind,
)
from ostinato.model.graph import length_sources
from ostinato.model.value import RETURN_VALUE

#: An edge as the user wrote it, between tasks and groups, with its label.
WrittenEdge = tuple[Node, Node, str]


class Parts(NamedTuple):
    """What a definition is put together from.

    Attributes:
        tasks: In the order of declaration.
        groups: In the order of declaration.
        edges: Between tasks, each once.
    """

    tasks: tuple[TaskDefinition, ...]
    groups: tuple[GroupDefinition, ...]
    edges: tuple[Edge, ...]


def build_parts(
    operators: Mapping[str, Operator],
    groups: Mapping[str, TaskGroup],
    edges: Sequence[WrittenEdge],
    source_root: str,
) -> Parts:
    """Return the frozen tasks, groups and edges of a flow.

    Args:
        operators: The tasks by id.
        groups: The groups by id.
        edges: As they were written.
        source_root: Folder that files are named relative to.

    Raises:
        DefinitionError: If a reference points where it must not, or types do not fit.
    """
    references = _references(operators)
    inputs = {task_id: _inputs(found) for task_id, found in references.items()}
    _check_types(operators, groups, references)
    measured = _measured(operators, groups)
    edges_between_tasks = _edges(inputs, groups, edges)
    _check_choices(operators, edges_between_tasks)
    source = _Sources(source_root)
    definitions = tuple(
        TaskDefinition(
            task_id,
            operator.operator_name,
            operator.kind,
            operator.group.node_id if operator.group else "",
            operator.settings.policy,
            _expansion(operator.factors) if operator.factors else None,
            inputs.get(task_id, ()),
            task_id in measured,
            operator.ignore_downstream_trigger_rules,
            operator.settings.map_name,
            operator.doc,
            source[operator.place],
            operator.settings.owner,
            operator.settings.tags,
            tuple([callback.declared for callback in operator.settings.callbacks])
            if operator.settings.callbacks
            else (),
            operator.settings.inlets,
            operator.settings.outlets,
            operator.asset,
        )
        for task_id, operator in operators.items()
    )
    return Parts(
        definitions,
        tuple(_group_definition(group) for group in groups.values()),
        tuple(
            Edge(upstream, downstream, label)
            for (upstream, downstream), label in edges_between_tasks.items()
        ),
    )


def resolved_edges(
    operators: Mapping[str, Operator],
    groups: Mapping[str, TaskGroup],
    edges: Sequence[WrittenEdge],
) -> Iterable[tuple[str, str]]:
    """Return the edges between tasks that the written ones and the arguments amount to."""
    inputs = {task_id: _inputs(found) for task_id, found in _references(operators).items()}
    return _edges(inputs, groups, edges)


class _Sources(dict[Place, Source]):
    """The place of each task as the definition has it; tasks of one line share it."""

    def __init__(self, root: str) -> None:
        super().__init__()
        self._root = root
        self._files: dict[str, str] = {}

    def __missing__(self, place: Place) -> Source:
        file = self._files.get(place.file)
        if file is None:
            file = self._files[place.file] = relative_file(place.file, self._root)
        source = self[place] = Source(file, place.line)
        return source


def _references(operators: Mapping[str, Operator]) -> dict[str, list[Reference]]:
    """Return the references in the arguments of each task that has any."""
    found: dict[str, list[Reference]] = {}
    for task_id, operator in operators.items():
        if not type(operator).__module__.startswith("ostinato."):
            operator.check_fields()
        try:
            references = list(operator.references())
        except InvalidArgument as err:
            message = f"{task_id!r}: {err.message}"
            place = relative_place(operator.place)
            raise InvalidArgument(message, place=place, hint=err.hint) from None
        if references:
            _check_reach(operator, references)
            found[task_id] = references
    return found


def _check_reach(operator: Operator, references: Iterable[Reference]) -> None:
    around: list[Node] = []
    for reference in references:
        problem = ""
        if isinstance(reference, ResultReference):
            if reference.task.graph is not operator.graph:
                problem = "which is in no flow" if not reference.task.graph else "of another flow"
        elif isinstance(reference, ElementReference) and reference.container is not operator:
            around = around or [*(operator.group.around() if operator.group else ())]
            if reference.container not in around:
                problem = f"outside of the mapped {reference.container.node_id!r}"
        if problem:
            message = f"{operator.node_id!r} takes {reference!r} {problem}"
            raise InvalidArgument(message, place=relative_place(operator.place))


def _inputs(references: Iterable[Reference]) -> tuple[Input, ...]:
    found = [reference for reference in references if isinstance(reference, ResultReference)]
    if len(found) == 1:
        return (found[0].input(),)
    return tuple({(r.task.node_id, r.key): r.input() for r in found}.values())


def _expansion(factors: Mapping[str, SeriesReference]) -> Expansion:
    return Expansion(tuple(Factor(name, series.length()) for name, series in factors.items()))


def _group_definition(group: TaskGroup) -> GroupDefinition:
    return GroupDefinition(
        group.node_id,
        parent=group.parent.node_id if group.parent else "",
        expansion=_expansion(group.factors) if group.factors else None,
        tooltip=group.tooltip,
    )


# Which results are measured


def _measured(operators: Mapping[str, Operator], groups: Mapping[str, TaskGroup]) -> set[str]:
    """Return the tasks whose result's length decides a mapping.

    Of a task that is mapped, as seen from where it is mapped over, the task runs are counted.
    """
    measured: set[str] = set()
    containers: list[Operator | TaskGroup] = [*operators.values(), *groups.values()]
    for container in containers:
        if not container.factors:
            continue
        around = container.parent if isinstance(container, TaskGroup) else container.group
        for series in container.factors.values():
            for task_id in length_sources(series.length()):
                if task_id in operators and not _is_mapped_for(operators[task_id], around):
                    measured.add(task_id)
    return measured


def _is_mapped_for(task: Node, viewer: TaskGroup | None) -> bool:
    """Whether somebody in a group sees a task as many task runs."""
    if not isinstance(task, Operator):
        return False
    if task.factors:
        return True
    if task.group is None or task.group is viewer:
        return False
    shared = set(viewer.mapped_around()) if viewer else set()
    return not shared.issuperset(task.group.mapped_around())


# Edges to and from groups


def _edges(
    inputs: Mapping[str, Sequence[Input]],
    groups: Mapping[str, TaskGroup],
    written_edges: Sequence[WrittenEdge],
) -> dict[tuple[str, str], str]:
    """Return all edges between tasks, with their labels."""
    edges: dict[tuple[str, str], str] = {}
    for task_id, values in inputs.items():
        for value in values:
            edges[value.task_id, task_id] = ""
    to_groups: list[WrittenEdge] = []
    for edge in written_edges:
        upstream, downstream, label = edge
        if groups and (isinstance(upstream, TaskGroup) or isinstance(downstream, TaskGroup)):
            to_groups.append(edge)
        elif label:
            edges[upstream.node_id, downstream.node_id] = label
        else:
            edges.setdefault((upstream.node_id, downstream.node_id), "")
    if to_groups:
        _GroupEdges(groups, edges).add(to_groups)
    return edges


class _GroupEdges:
    """Replace groups at the ends of edges by their roots and leaves.

    The roots of a group depend on the edges inside of it, and so on the edges between the groups
    in it: edges are added from the innermost group outwards.
    """

    def __init__(self, groups: Mapping[str, TaskGroup], edges: dict[tuple[str, str], str]) -> None:
        self._edges = edges
        self._members = {
            name: [task.node_id for task in group.tasks()] for name, group in groups.items()
        }
        self._teardowns = frozenset(
            task.node_id
            for group in groups.values()
            for task in group.children
            if isinstance(task, Operator) and task.kind is TaskKind.TEARDOWN
        )
        self._upstream: dict[str, list[str]] = {}
        self._downstream: dict[str, list[str]] = {}
        for upstream, downstream in edges:
            self._note(upstream, downstream)
        self._ends: dict[str, tuple[list[str], list[str]]] = {}

    def add(self, written_edges: Sequence[WrittenEdge]) -> None:
        """Add edges of which at least one end is a group."""
        edges = [*written_edges, *self._bridges(written_edges)]
        for upstream, downstream, label in sorted(edges, key=_depth, reverse=True):
            for up in self._tasks(upstream)[1]:
                for down in self._tasks(downstream)[0]:
                    if (up, down) not in self._edges:
                        self._note(up, down)
                    if label or (up, down) not in self._edges:
                        self._edges[up, down] = label

    def _bridges(self, edges: Sequence[WrittenEdge]) -> list[WrittenEdge]:
        """Return edges over empty groups, so that their neighbours stay in order."""
        empty = [name for name, members in self._members.items() if not members]
        bridges: list[WrittenEdge] = []
        for name in empty:
            known = [*edges, *bridges]
            before = [up for up, down, _ in known if down.node_id == name]
            behind = [down for up, down, _ in known if up.node_id == name]
            bridges += [(up, down, "") for up in before for down in behind]
        return bridges

    def _tasks(self, node: Node) -> tuple[list[str], list[str]]:
        name = node.node_id
        if not isinstance(node, TaskGroup):
            return [name], [name]
        if name not in self._ends:
            ends = roots_and_leaves(
                self._members[name], self._upstream, self._downstream, self._teardowns
            )
            self._ends[name] = ends
        return self._ends[name]

    def _note(self, upstream: str, downstream: str) -> None:
        self._upstream.setdefault(downstream, []).append(upstream)
        self._downstream.setdefault(upstream, []).append(downstream)


def _depth(edge: WrittenEdge) -> int:
    """Return how many groups have both ends of an edge in them."""
    upstream, downstream, _ = edge
    above = list(_around(upstream))
    below = list(_around(downstream))
    for one, other in ((upstream, below), (downstream, above)):
        if one in other:
            path = f"{upstream.node_id!r} >> {downstream.node_id!r}"
            message = f"a group and what it holds cannot wait for each other: {path}"
            raise CycleError(message)
    return len(set(above) & set(below))


def _around(node: Node) -> Iterable[TaskGroup]:
    group = node.parent if isinstance(node, TaskGroup) else getattr(node, "group", None)
    return group.around() if isinstance(group, TaskGroup) else ()


def _check_choices(operators: Mapping[str, Operator], edges: Iterable[tuple[str, str]]) -> None:
    """Refuse a branch that would choose what is not directly behind it."""
    branches = {
        operator.node_id: operator
        for operator in operators.values()
        if isinstance(operator, BranchOperator) and operator.possible_choices
    }
    if not branches:
        return
    behind: dict[str, set[str]] = {task_id: set() for task_id in branches}
    for upstream, downstream in edges:
        if upstream in branches:
            task = operators[downstream]
            around = task.group.around() if task.group else ()
            behind[upstream] |= {downstream, *(group.node_id for group in around)}
    for task_id, operator in branches.items():
        for chosen in operator.chosen_ids(operator.possible_choices):
            if chosen not in behind[task_id]:
                message = f"{task_id!r} may choose {chosen!r}, which is not directly behind it"
                place, hint = relative_place(operator.place), f"{task_id} >> {chosen}"
                raise UnknownTask(message, place=place, hint=hint)


# Types on edges


def _check_types(
    operators: Mapping[str, Operator],
    groups: Mapping[str, TaskGroup],
    references: Mapping[str, Sequence[Reference]],
) -> None:
    """Refuse a result as an argument of a type that it cannot have."""
    fitting: set[tuple[int, int, bool]] = set()
    for operator in operators.values():
        for series in operator.factors.values():
            _check_mappable(series, operator, operator.group)
    for group in groups.values():
        for series in group.factors.values():
            _check_mappable(series, group, group.parent)
    for task_id in references:
        operator = operators[task_id]
        if not isinstance(operator, FunctionOperator) or isinstance(operator.op_kwargs, Reference):
            continue
        types = operator.signature.types
        for name, value in operator.op_kwargs.items():
            if name in types and isinstance(value, Reference):
                _check_argument(operator, name, value, types[name], fitting)


def _check_argument(
    operator: FunctionOperator,
    name: str,
    value: Reference,
    wanted: Any,
    fitting: set[tuple[int, int, bool]],
) -> None:
    produced = _type_of(value, operator)
    if produced is UNTYPED:
        return
    source = value
    while isinstance(source, ItemReference):
        source = source.source
    is_several = isinstance(source, ResultReference) and _is_mapped_for(source.task, operator.group)
    key = (id(produced), id(wanted), is_several)
    if key in fitting:
        return
    fits = fits_several(produced, wanted) if is_several else may_fit(produced, wanted)
    if fits:
        fitting.add(key)
        return
    task = next((node for node in value.nodes() if isinstance(node, Operator)), None)
    raise EdgeTypeError(
        f"{operator.node_id!r} takes {name}: {written(wanted)}, "
        f"but {_described(value, produced, task, is_several=is_several)}",
        place=relative_place(operator.place),
        hint=f"{task.node_id!r} is at {relative_place(task.place)}" if task else "",
    )


def _described(value: Reference, produced: Any, task: Operator | None, *, is_several: bool) -> str:
    if task is None or isinstance(value, ItemReference):
        return f"{value!r} is {written(produced)}"
    if isinstance(value, ElementReference):
        return f"the items of {task.node_id!r} are {written(produced)}"
    if is_several:
        return f"the mapped {task.node_id!r} gives a sequence of {written(produced)}"
    return f"{task.node_id!r} returns {written(produced)}"


def _type_of(value: Reference, operator: Operator) -> Any:
    if isinstance(value, ResultReference):
        if isinstance(value.task, Operator) and value.key == RETURN_VALUE:
            return value.task.result_type
        return UNTYPED
    if isinstance(value, ParameterReference):
        return value.annotation
    if isinstance(value, ItemReference):
        return item_of_dict(_type_of(value.source, operator))
    if isinstance(value, ElementReference) and isinstance(value.series, ResultReference):
        produced = _type_of(value.series, operator)
        container = value.container
        around = container.parent if isinstance(container, TaskGroup) else operator.group
        if produced is UNTYPED or _is_mapped_for(value.series.task, around):
            return produced
        return item_type(produced)
    return UNTYPED


def _check_mappable(series: SeriesReference, container: Node, viewer: TaskGroup | None) -> None:
    if not isinstance(series, ResultReference) or not isinstance(series.task, Operator):
        return
    produced = series.task.result_type
    if produced is UNTYPED or _is_mapped_for(series.task, viewer):
        return
    if item_type(produced) is None:
        place = container.place if isinstance(container, Operator | TaskGroup) else None
        raise EdgeTypeError(
            f"{container.node_id!r} is mapped over {series.task.node_id!r}, "
            f"which returns {written(produced)}, no list or dict",
            place=relative_place(place) if place else None,
            hint=f"{series.task.node_id!r} is at {relative_place(series.task.place)}",
        )
