"""This module checks that the tasks of a flow form a graph without cycles.

All walks are loops, not recursions, so that a chain of 100,000 tasks is no deeper than one of ten.
"""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from ostinato.errors import CycleError, DuplicateTask, Place, UnknownTask
from ostinato.model.flow import (
    FlowDefinition,
    GroupDefinition,
    LengthSource,
    LiteralLength,
    ResultLength,
    Source,
    TaskDefinition,
)

#: The place of what has none.
NOWHERE = Source()


class Graph:
    """What waits for what in a flow, by position.

    Tasks come first, in the order of the definition, then the mapped groups: such a group waits
    for what it is mapped over, and its tasks wait for it.

    Args:
        flow: The flow; its ids must be unique and its edges must name them.

    Attributes:
        ids: Of the task or mapped group at each position.
        upstream: Positions that each one waits for, each once.
        downstream: Positions that wait for each one, each once.
    """

    def __init__(self, flow: FlowDefinition) -> None:
        mapped = [group for group in flow.groups if group.expansion is not None]
        members: list[TaskDefinition | GroupDefinition] = [*flow.tasks, *mapped]
        self.ids = [member.id for member in members]
        positions = {name: position for position, name in enumerate(self.ids)}
        pairs = {(positions[edge.upstream], positions[edge.downstream]) for edge in flow.edges}
        parents = {group.id: group.parent for group in flow.groups}
        mapped_ids = {group.id for group in mapped}
        for position, member in enumerate(members):
            if member.expansion is not None:
                for factor in member.expansion.factors:
                    pairs |= {(positions[up], position) for up in length_sources(factor.length)}
            around = member.group if isinstance(member, TaskDefinition) else member.parent
            while around and around not in mapped_ids:
                around = parents[around]
            if around:
                pairs.add((positions[around], position))
        self.upstream: list[list[int]] = [[] for _ in self.ids]
        self.downstream: list[list[int]] = [[] for _ in self.ids]
        for up, down in sorted(pairs):
            self.upstream[down].append(up)
            self.downstream[up].append(down)

    def order(self) -> list[int]:
        """Return positions so that everything comes after what it waits for.

        What is in a cycle, or behind one, is left out.
        """
        waiting = [len(upstream) for upstream in self.upstream]
        order = [position for position, count in enumerate(waiting) if not count]
        for position in order:
            for follower in self.downstream[position]:
                waiting[follower] -= 1
                if not waiting[follower]:
                    order.append(follower)
        return order

    def cycle(self, order: Sequence[int]) -> list[int]:
        """Return the positions of one cycle, each before the one that waits for it.

        Args:
            order: What ``order`` returned, with something left out.
        """
        stuck = set(range(len(self.ids))).difference(order)
        position = min(stuck)
        path: list[int] = []
        seen: dict[int, int] = {}
        # Whatever is stuck waits for something that is stuck too: going back ends in a cycle.
        while position not in seen:
            seen[position] = len(path)
            path.append(position)
            position = next(up for up in self.upstream[position] if up in stuck)
        return path[seen[position] :][::-1]


def check_graph(flow: FlowDefinition) -> None:
    """Refuse a flow that cannot be run.

    Args:
        flow: The flow.

    Raises:
        DuplicateTask: If two tasks or groups have one id.
        UnknownTask: If an edge, input, mapping or group names a task that there is not.
        CycleError: If tasks wait for each other.
    """
    _check_ids(flow)
    _check_names(flow)
    topological_order(flow)


def topological_order(flow: FlowDefinition) -> list[str]:
    """Return the ids of all tasks so that each comes after those that it waits for.

    Args:
        flow: A flow whose edges name tasks that there are.

    Raises:
        CycleError: If tasks wait for each other.
    """
    graph = Graph(flow)
    order = graph.order()
    if len(order) < len(graph.ids):
        raise _cycle_error(flow, graph, graph.cycle(order))
    return [flow.tasks[position].id for position in order if position < len(flow.tasks)]


def length_sources(length: LengthSource) -> list[str]:
    """Return the ids of the tasks whose results decide a length."""
    if isinstance(length, LiteralLength):
        return []
    if isinstance(length, ResultLength):
        return [length.task_id]
    return [task_id for part in length.parts for task_id in length_sources(part)]


def _cycle_error(flow: FlowDefinition, graph: Graph, cycle: list[int]) -> CycleError:
    # Begin with what the user wrote first.
    first = cycle.index(min(cycle))
    turned = cycle[first:] + cycle[:first]
    path = " -> ".join(graph.ids[position] for position in [*turned, turned[0]])
    # Groups alone form no cycle, and tasks have the lower positions: the first one is a task.
    place = _place(flow.tasks[turned[0]].source)
    return CycleError(f"tasks of flow {flow.name!r} wait for each other: {path}", place=place)


def _check_ids(flow: FlowDefinition) -> None:
    # A task may be called like a group somewhere else; not like a mapped one, which has a position.
    mapped = [group for group in flow.groups if group.expansion is not None]
    _check_unique([*flow.tasks, *mapped], flow)
    _check_unique(flow.groups, flow)


def _check_unique(
    members: Sequence[TaskDefinition | GroupDefinition], flow: FlowDefinition
) -> None:
    seen: dict[str, Source] = {}
    for member in members:
        source = member.source if isinstance(member, TaskDefinition) else NOWHERE
        if member.id in seen:
            first = _place(seen[member.id])
            raise DuplicateTask(
                f"id {member.id!r} is used twice in flow {flow.name!r}",
                place=_place(source),
                hint=f"first at {first}" if first else "",
            )
        seen[member.id] = source


def _check_names(flow: FlowDefinition) -> None:
    tasks = {task.id for task in flow.tasks}
    groups = {""}
    for group in flow.groups:
        _check_known([group.parent], groups, f"group {group.id!r} is in", flow)
        groups.add(group.id)
        if group.expansion is not None:
            for factor in group.expansion.factors:
                about = f"group {group.id!r} is mapped over"
                _check_known(length_sources(factor.length), tasks, about, flow)
    for task in flow.tasks:
        if task.group not in groups:
            _check_known([task.group], groups, f"task {task.id!r} is in", flow, task.source)
        for value in task.inputs:
            if value.task_id not in tasks:
                _check_known([value.task_id], tasks, f"{task.id!r} reads", flow, task.source)
        if task.expansion is not None:
            for factor in task.expansion.factors:
                about = f"{task.id!r} is mapped over"
                _check_known(length_sources(factor.length), tasks, about, flow, task.source)
    for edge in flow.edges:
        if edge.upstream not in tasks or edge.downstream not in tasks:
            _check_known([edge.upstream, edge.downstream], tasks, "an edge names", flow)


def _check_known(
    names: Iterable[str],
    known: set[str],
    about: str,
    flow: FlowDefinition,
    source: Source = NOWHERE,
) -> None:
    for name in names:
        if name not in known:
            nearest = get_close_matches(name, known, n=1)
            raise UnknownTask(
                f"{about} {name!r}, which is not in flow {flow.name!r}",
                place=_place(source),
                hint=f"did you mean {nearest[0]!r}?" if nearest else "",
            )


def _place(source: Source) -> Place | None:
    return Place(source.file, source.line) if source.file or source.line else None
