"""This module compiles a flow's definition into the arrays that the engine walks.

A task is known by its *position*. Mapped tasks and mapped groups are *containers*: each adds
one index to the path of what is inside. A mapped group takes a position of its own, behind
those of the tasks: it waits for what it is mapped over and then opens its members.
"""

from ostinato.engine.trigger_rules import SETUP_SHIFT, DecisionTable, decision_table
from ostinato.errors import InternalError
from ostinato.model.flow import (
    Expansion,
    FlowDefinition,
    LengthSource,
    LiteralLength,
    ResultLength,
    TaskDefinition,
    TaskKind,
)
from ostinato.model.policy import Criticality, TriggerRule


class Dependent:
    """The far end of an edge, as its near end sees it.

    Attributes:
        position: Of the task or mapped group that waits.
        depth: Indices that both ends share.
        setup_shift: By how much to shift outcomes to show them as a setup's, 0 if it is none.
    """

    __slots__ = ("depth", "is_same_depth", "position", "setup_shift")

    def __init__(self, position: int, depth: int, setup_shift: int) -> None:
        self.position = position
        self.depth = depth
        self.setup_shift = setup_shift
        self.is_same_depth = False


class PlanNode:
    """A task, or a mapped group, at its position.

    Attributes:
        position: Index in ``Plan.nodes``.
        id: Of the task or group.
        task: Its definition; None for a group.
        expansion: How it is mapped, or None.
        scope: Ids of the mapped groups around it, outermost first.
        decisions: Table of its trigger rule.
        upstream: Positions that it waits for, with the shared depth.
        sources: Those of them whose results decide its lengths.
        guards: Positions of the setups in whose scope it lies, with the shared depth.
        dependents: By shared depth, who waits for it.
        guarded: For a setup: by shared depth, what lies in its scope.
        depths: Keys of ``dependents`` and of ``guarded``, ascending.
        members: For a mapped group: positions of tasks and mapped groups directly in it.
        subtree: For a mapped group: positions of all tasks in it at any depth.
        is_leaf: Whether the run's outcome looks at it.
        asks_past: Whether it waits for earlier runs of the flow.
        may_fail: Whether its failure is only shown.
        is_critical: Whether its failure ends the run.
        is_teardown: Whether it runs in a cancelled run too.
    """

    __slots__ = (
        "asks_past",
        "decisions",
        "dependents",
        "depths",
        "expansion",
        "guarded",
        "guards",
        "id",
        "is_critical",
        "is_leaf",
        "is_teardown",
        "may_fail",
        "members",
        "position",
        "scope",
        "sources",
        "subtree",
        "task",
        "upstream",
    )

    def __init__(
        self,
        position: int,
        node_id: str,
        *,
        task: TaskDefinition | None,
        expansion: Expansion | None,
        scope: tuple[str, ...],
        decisions: DecisionTable,
    ) -> None:
        self.position = position
        self.id = node_id
        self.task = task
        self.expansion = expansion
        self.scope = scope
        self.decisions = decisions
        self.upstream: list[tuple[int, int]] = []
        self.sources: list[tuple[int, int]] = []
        self.guards: list[tuple[int, int]] = []
        self.guarded: dict[int, list[Dependent]] = {}
        self.dependents: dict[int, list[Dependent]] = {}
        self.depths: tuple[int, ...] = ()
        self.members: list[int] = []
        self.subtree: list[int] = []
        self.is_leaf = True
        self.asks_past = False
        self.may_fail = False
        self.is_critical = False
        self.is_teardown = False


class Plan:
    """A compiled flow; built once per version and shared by its runs.

    Attributes:
        flow: What it was compiled from.
        nodes: Tasks in the order of the definition, then mapped groups, parents first.
        positions: By id of task or mapped group.
        order: Positions so that everything comes after what it waits for.
        groups: Every group's tasks at any depth, by its id.
    """

    def __init__(self, flow: FlowDefinition) -> None:
        self.flow = flow
        scopes, parents = _scopes_of_groups(flow)
        self.nodes: list[PlanNode] = []
        self.positions: dict[str, int] = {}
        for task in flow.tasks:
            self._add_task(task, scopes[task.group])
        for group in flow.groups:
            if group.expansion is not None:
                self._add_group(group.id, group.expansion, scopes[group.parent])
        self.groups = _tasks_of_groups(flow, parents)
        self._descendants: dict[int, frozenset[int]] = {}
        self._link(flow)
        self._nest()
        if any(task.kind is TaskKind.SETUP for task in flow.tasks):
            self._guard()
        for node in self.nodes:
            for depth in node.guarded:
                node.dependents.setdefault(depth, [])
            node.depths = tuple(sorted(node.dependents))
            for depth, dependents in node.dependents.items():
                for dependent in (*dependents, *node.guarded.get(depth, ())):
                    dependent.is_same_depth = len(self.nodes[dependent.position].scope) == depth
        self.order = self._topological_order()

    def _add_task(self, task: TaskDefinition, scope: tuple[str, ...]) -> None:
        policy = task.policy
        node = PlanNode(
            len(self.nodes),
            task.id,
            task=task,
            expansion=task.expansion,
            scope=scope,
            decisions=decision_table(policy.trigger_rule),
        )
        node.asks_past = policy.depends_on_past or policy.wait_for_downstream
        node.may_fail = policy.criticality is Criticality.OPTIONAL
        node.is_critical = policy.criticality is Criticality.CRITICAL or (
            self.flow.fail_fast and not node.may_fail
        )
        node.is_teardown = task.kind is TaskKind.TEARDOWN
        node.is_leaf = not node.is_teardown or policy.on_failure_fail_run
        self.positions[task.id] = node.position
        self.nodes.append(node)

    def _add_group(self, group_id: str, expansion: Expansion, scope: tuple[str, ...]) -> None:
        node = PlanNode(
            len(self.nodes),
            group_id,
            task=None,
            expansion=expansion,
            scope=scope,
            decisions=decision_table(TriggerRule.ALL_SUCCESS),
        )
        node.is_leaf = False
        self.positions[group_id] = node.position
        self.nodes.append(node)

    def _link(self, flow: FlowDefinition) -> None:
        positions = self.positions
        pairs = {
            (positions[edge.upstream], positions[edge.downstream]): None for edge in flow.edges
        }
        for node in self.nodes:
            if node.expansion is not None:
                for factor in node.expansion.factors:
                    for source in lengths_from(factor.length):
                        producer = self.nodes[positions[source]]
                        pairs[producer.position, node.position] = None
                        depth = _shared(producer.scope, node.scope)
                        node.sources.append((producer.position, depth))
            if node.task is not None:
                for value in node.task.inputs:
                    # A value from outside a partial run is no edge of it.
                    if value.task_id in positions and value.task_id != node.id:
                        pairs[positions[value.task_id], node.position] = None
        for upstream_position, downstream_position in pairs:
            upstream, downstream = self.nodes[upstream_position], self.nodes[downstream_position]
            depth = _shared(upstream.scope, downstream.scope)
            is_setup = upstream.task is not None and upstream.task.kind is TaskKind.SETUP
            dependent = Dependent(downstream_position, depth, SETUP_SHIFT if is_setup else 0)
            upstream.dependents.setdefault(depth, []).append(dependent)
            downstream.upstream.append((upstream_position, depth))
            if not downstream.is_teardown and not upstream.is_teardown:
                upstream.is_leaf = False

    def _nest(self) -> None:
        for node in self.nodes:
            if not node.scope:
                continue
            self.nodes[self.positions[node.scope[-1]]].members.append(node.position)
            if node.task is not None:
                for container in node.scope:
                    self.nodes[self.positions[container]].subtree.append(node.position)

    def _guard(self) -> None:
        """Let all that lies in the scope of a setup follow it; see ``setup_scope``."""
        for setup in self.nodes:
            if setup.task is None or setup.task.kind is not TaskKind.SETUP:
                continue
            for position in sorted(self.setup_scope(setup.position)):
                node = self.nodes[position]
                depth = _shared(setup.scope, node.scope)
                node.guards.append((setup.position, depth))
                setup.guarded.setdefault(depth, []).append(Dependent(position, depth, 0))

    def teardowns_of(self, position: int) -> list[int]:
        """Return the positions of the teardowns that wait for a task directly."""
        return [p for p in self.direct_downstream(position) if self.nodes[p].is_teardown]

    def setup_scope(self, position: int) -> set[int]:
        """Return the positions of the tasks in a setup's scope.

        As in Airflow: all tasks between it and a teardown of its own, or all that is downstream
        where it has none; teardowns go by their trigger rule.
        """
        below = self.descendants(position)
        scope = set(below)
        teardowns = self.teardowns_of(position)
        if teardowns:
            scope.clear()
            stack = teardowns
            while stack:
                node = self.nodes[stack.pop()]
                above = [upstream for upstream, _ in node.upstream]
                above.extend(self.positions[group] for group in node.scope[-1:])
                for upstream in above:
                    if upstream in below and upstream not in scope:
                        scope.add(upstream)
                        stack.append(upstream)
        return {p for p in scope if self.is_plain(p)}

    def is_plain(self, position: int) -> bool:
        """Whether a position holds a task that is no teardown; those go by their setups."""
        node = self.nodes[position]
        return node.task is not None and not node.is_teardown

    def _topological_order(self) -> list[int]:
        waiting = [len(node.upstream) + bool(node.scope) for node in self.nodes]
        order = [node.position for node in self.nodes if not waiting[node.position]]
        for position in order:
            node = self.nodes[position]
            after = [d.position for ds in node.dependents.values() for d in ds]
            for follower in after + node.members:
                waiting[follower] -= 1
                if not waiting[follower]:
                    order.append(follower)
        if len(order) != len(self.nodes):
            stuck = [node.id for node in self.nodes if waiting[node.position] > 0]
            message = f"flow {self.flow.name!r} has a cycle through {stuck[:5]}"
            raise InternalError(message)
        return order

    def descendants(self, position: int) -> frozenset[int]:
        """Return the positions of all that waits for a task, directly or not."""
        known = self._descendants.get(position)
        if known is None:
            seen: set[int] = set()
            stack = [position]
            while stack:
                node = self.nodes[stack.pop()]
                after = [d.position for ds in node.dependents.values() for d in ds]
                for follower in after + node.members:
                    if follower not in seen:
                        seen.add(follower)
                        stack.append(follower)
            known = self._descendants[position] = frozenset(seen)
        return known

    def direct_downstream(self, position: int) -> list[int]:
        """Return the positions of the tasks that wait for a task directly."""
        followers = (d.position for ds in self.nodes[position].dependents.values() for d in ds)
        return [follower for follower in followers if self.nodes[follower].task is not None]

    def shared_depth(self, first: int, second: int) -> int:
        """Return how many indices the paths of two positions share."""
        return _shared(self.nodes[first].scope, self.nodes[second].scope)


def lengths_from(source: LengthSource) -> list[str]:
    """Return the ids of the tasks whose results decide a length."""
    if isinstance(source, LiteralLength):
        return []
    if isinstance(source, ResultLength):
        return [source.task_id]
    return [task_id for part in source.parts for task_id in lengths_from(part)]


def _shared(first: tuple[str, ...], second: tuple[str, ...]) -> int:
    depth = 0
    for one, other in zip(first, second, strict=False):
        if one != other:
            break
        depth += 1
    return depth


def _scopes_of_groups(flow: FlowDefinition) -> tuple[dict[str, tuple[str, ...]], dict[str, str]]:
    scopes: dict[str, tuple[str, ...]] = {"": ()}
    parents: dict[str, str] = {}
    for group in flow.groups:
        own = (group.id,) if group.expansion is not None else ()
        scopes[group.id] = scopes[group.parent] + own
        parents[group.id] = group.parent
    return scopes, parents


def _tasks_of_groups(flow: FlowDefinition, parents: dict[str, str]) -> dict[str, list[str]]:
    tasks: dict[str, list[str]] = {group.id: [] for group in flow.groups}
    for task in flow.tasks:
        group = task.group
        while group:
            tasks[group].append(task.id)
            group = parents[group]
    return tasks
