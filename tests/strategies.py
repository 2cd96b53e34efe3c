"""Random flows, and what their tasks would do: shared by the property and simulation tests."""

import random
from typing import NamedTuple

from hypothesis import strategies as st
from msgspec.structs import replace

from ostinato.engine.plan import lengths_from
from ostinato.model.flow import (
    Edge,
    Expansion,
    Factor,
    FlowDefinition,
    GroupDefinition,
    LengthSource,
    LiteralLength,
    MinLength,
    ResultLength,
    SumLength,
    TaskDefinition,
    TaskKind,
)
from ostinato.model.identity import MapPath
from ostinato.model.policy import Criticality, Policy, TriggerRule


class Outcome(NamedTuple):
    """What a task run does once it is executed.

    Attributes:
        kind: ``ok``, ``fail`` or ``skip``.
        failures: Attempts that fail before the last one.
        length: Items of its result.
        chosen: What a branch chooses, else None.
        stop: Whether a short circuit stops.
        has_good_past: Whether the task went well in the run before.
    """

    kind: str
    failures: int = 0
    length: int = 0
    chosen: tuple[str, ...] | None = None
    stop: bool = False
    has_good_past: bool = True


class Shape(NamedTuple):
    """Which features a random flow may have."""

    skips_meet_eager_rules: bool = False
    ends_early: bool = True


def random_flow(chance: random.Random, shape: Shape = Shape()) -> FlowDefinition:  # noqa: B008 - immutable
    """Return a small flow with whatever chance brings together.

    Args:
        chance: Source of all choices.
        shape: What it may have.
    """
    groups = _random_groups(chance)
    count = chance.randint(2, 9)
    tasks: list[TaskDefinition] = []
    edges: list[Edge] = []
    for index in range(count):
        group = chance.choice(groups).id if groups and chance.random() < 0.5 else ""
        task_id = f"{group}.t{index}" if group else f"t{index}"
        upstream = [task.id for task in tasks if chance.random() < 1.5 / max(len(tasks), 1)]
        edges.extend(Edge(before, task_id) for before in upstream)
        tasks.append(_random_task(chance, task_id, group, tasks, bool(upstream)))
    if chance.random() < 0.3:
        _open_scope(chance, tasks, edges)
    groups = [_mapped_over_results(chance, group, tasks) for group in groups]
    tasks = _measured(tasks, groups)
    flow = FlowDefinition(
        "random",
        tasks=tuple(tasks),
        groups=tuple(groups),
        edges=tuple(edges),
        fail_fast=shape.ends_early and chance.random() < 0.05,
    )
    if not shape.ends_early:
        flow = _without_early_ends(flow)
    return flow if shape.skips_meet_eager_rules else _without_races(flow)


def _random_groups(chance: random.Random) -> list[GroupDefinition]:
    groups: list[GroupDefinition] = []
    for index in range(chance.choice((0, 0, 1, 2, 3))):
        parent = chance.choice(groups).id if groups and chance.random() < 0.5 else ""
        group_id = f"{parent}.g{index}" if parent else f"g{index}"
        expansion = None
        if chance.random() < 0.6:
            expansion = Expansion((Factor("x", LiteralLength(chance.choice((0, 1, 2, 2, 3)))),))
        groups.append(GroupDefinition(group_id, parent, expansion))
    return groups


def _random_task(
    chance: random.Random,
    task_id: str,
    group: str,
    before: list[TaskDefinition],
    has_upstream: bool,
) -> TaskDefinition:
    rule = TriggerRule.ALL_SUCCESS
    if has_upstream and chance.random() < 0.5:
        rule = chance.choice(list(TriggerRule))
    kind = TaskKind.NORMAL
    roll = chance.random()
    if roll < 0.10:
        kind = TaskKind.BRANCH
    elif roll < 0.18:
        kind = TaskKind.SHORT_CIRCUIT
    elif roll < 0.24:
        kind = TaskKind.SETUP
    elif roll < 0.30 and has_upstream:
        kind, rule = TaskKind.TEARDOWN, TriggerRule.ALL_DONE_SETUP_SUCCESS
    expansion = None
    if kind in (TaskKind.NORMAL, TaskKind.BRANCH) and chance.random() < 0.25:
        factors = [Factor(name, _random_length(chance, before)) for name in "ab"]
        expansion = Expansion(tuple(factors[: chance.choice((1, 1, 2))]))
    policy = Policy(
        trigger_rule=rule,
        retries=chance.choice((0, 0, 0, 1, 2)),
        retry_delays_s=(chance.choice((0.0, 1.0, 60.0)),),
        criticality=chance.choices(list(Criticality), (1, 20, 3))[0],
        on_failure_fail_run=chance.random() < 0.3,
        priority=chance.randint(1, 3),
        depends_on_past=chance.random() < 0.05,
        wait_for_downstream=chance.random() < 0.03,
    )
    return TaskDefinition(
        task_id,
        kind=kind,
        group=group,
        policy=policy,
        expansion=expansion,
        ignore_downstream_trigger_rules=chance.random() < 0.6,
    )


def _open_scope(chance: random.Random, tasks: list[TaskDefinition], edges: list[Edge]) -> None:
    """Make one task a setup and a later one its teardown, with some of the work between them."""
    first, last = sorted(chance.sample(range(len(tasks)), 2))
    setup, teardown = tasks[first], tasks[last]
    if setup.kind is not TaskKind.NORMAL or teardown.kind is not TaskKind.NORMAL:
        return
    policy = replace(teardown.policy, trigger_rule=TriggerRule.ALL_DONE_SETUP_SUCCESS)
    tasks[first] = replace(setup, kind=TaskKind.SETUP)
    tasks[last] = replace(teardown, kind=TaskKind.TEARDOWN, policy=policy)
    wanted = [(setup.id, teardown.id)]
    for task in tasks[first + 1 : last]:
        if chance.random() < 0.6:
            wanted.append((setup.id, task.id))
        if chance.random() < 0.6:
            wanted.append((task.id, teardown.id))
    known = {(edge.upstream, edge.downstream) for edge in edges}
    edges.extend(Edge(*pair) for pair in wanted if pair not in known)


def _random_length(chance: random.Random, before: list[TaskDefinition]) -> LengthSource:
    if not before or chance.random() < 0.4:
        return LiteralLength(chance.choice((0, 1, 2, 3)))
    source = ResultLength(chance.choice(before).id)
    if chance.random() < 0.2:
        kind = SumLength if chance.random() < 0.5 else MinLength
        return kind((source, LiteralLength(2)))
    return source


def _mapped_over_results(
    chance: random.Random, group: GroupDefinition, tasks: list[TaskDefinition]
) -> GroupDefinition:
    """Map some groups over a result of a task that comes before all that is in them."""
    if group.expansion is None or chance.random() < 0.5:
        return group
    inside = [i for i, task in enumerate(tasks) if _is_in(task.group, group.id)]
    first = min(inside, default=0)
    outside = [t for t in tasks[:first] if not _is_in(t.group, group.id)]
    if not outside:
        return group
    source = ResultLength(chance.choice(outside).id)
    return GroupDefinition(group.id, group.parent, Expansion((Factor("x", source),)))


def _is_in(group: str, outer: str) -> bool:
    return group == outer or group.startswith(f"{outer}.")


def _measured(tasks: list[TaskDefinition], groups: list[GroupDefinition]) -> list[TaskDefinition]:
    expansions = [task.expansion for task in tasks] + [group.expansion for group in groups]
    sources = {source for expansion in expansions for source in _sources(expansion)}
    return [replace(task, measured=task.id in sources) for task in tasks]


def _without_early_ends(flow: FlowDefinition) -> FlowDefinition:
    tasks = [
        replace(task, policy=replace(task.policy, criticality=Criticality.NORMAL))
        if task.policy.criticality is Criticality.CRITICAL
        else task
        for task in flow.tasks
    ]
    return replace(flow, tasks=tuple(tasks))


def _without_races(flow: FlowDefinition) -> FlowDefinition:
    """Take out what makes the outcome depend on the order in which things happen.

    A skip by a branch or a short circuit settles a task at once, whatever it waits for. If
    something else may settle or start it too, whoever comes first wins. So at most one task
    decides; what is below it waits for all upstream, follows no setup, lies in the same mapped
    groups, and all mapped groups open.
    """
    deciders = [t for t in flow.tasks if t.kind in (TaskKind.BRANCH, TaskKind.SHORT_CIRCUIT)]
    if not deciders:
        return flow
    mapped = [group.id for group in flow.groups if group.expansion is not None]

    def scope(task: TaskDefinition) -> list[str]:
        return [group for group in mapped if _is_in(task.group, group)]

    by_id = {task.id: task for task in flow.tasks}
    kept = deciders[0]
    below = _below(flow, kept.id)
    is_alone = kept.expansion is None and all(
        set(scope(kept)) <= set(scope(by_id[follower])) for follower in below
    )
    tasks: list[TaskDefinition] = []
    for task in flow.tasks:
        changed = task
        if task.kind is TaskKind.SETUP and below & _below(flow, task.id):
            changed = replace(changed, kind=TaskKind.NORMAL)
        if task in deciders and not (task is kept and is_alone):
            changed = replace(changed, kind=TaskKind.NORMAL)
        patient = (TriggerRule.ALL_DONE, TriggerRule.ALL_DONE_SETUP_SUCCESS)
        if task.id in below and task.policy.trigger_rule not in patient:
            policy = replace(changed.policy, trigger_rule=TriggerRule.ALL_DONE)
            changed = replace(changed, policy=policy)
        tasks.append(changed)
    if not is_alone:
        return replace(flow, tasks=tuple(tasks))
    opening = Expansion((Factor("x", LiteralLength(2)),))
    groups = [
        group if group.expansion is None else replace(group, expansion=opening)
        for group in flow.groups
    ]
    return replace(flow, tasks=tuple(tasks), groups=tuple(groups))


def _below(flow: FlowDefinition, task_id: str) -> set[str]:
    """Return all that waits for a task, also through what groups are mapped over."""
    after: dict[str, set[str]] = {}
    for edge in flow.edges:
        after.setdefault(edge.upstream, set()).add(edge.downstream)
    for task in flow.tasks:
        for source in _sources(task.expansion):
            after.setdefault(source, set()).add(task.id)
    for group in flow.groups:
        for source in _sources(group.expansion):
            members = {task.id for task in flow.tasks if _is_in(task.group, group.id)}
            after.setdefault(source, set()).update(members)
    found: set[str] = set()
    stack = [task_id]
    while stack:
        for follower in after.get(stack.pop(), set()) - found:
            found.add(follower)
            stack.append(follower)
    return found


def _sources(expansion: Expansion | None) -> list[str]:
    factors = expansion.factors if expansion is not None else ()
    return [source for factor in factors for source in lengths_from(factor.length)]


def random_outcome(chance: random.Random, flow: FlowDefinition, task: TaskDefinition) -> Outcome:
    """Return what one task run does."""
    retries = chance.randint(0, task.policy.retries)
    kind = chance.choices(("ok", "fail", "skip"), (12, 3, 2))[0]
    chosen = None
    if task.kind is TaskKind.BRANCH:
        direct = [edge.downstream for edge in flow.edges if edge.upstream == task.id]
        by_id = {each.id: each for each in flow.tasks}
        names = direct + [by_id[one].group for one in direct if by_id[one].group]
        chosen = tuple(name for name in names if chance.random() < 0.5)
    stop = task.kind is TaskKind.SHORT_CIRCUIT and chance.random() < 0.5
    length = chance.choice((0, 1, 2, 3)) if task.measured else 0
    return Outcome(kind, retries, length, chosen, stop, chance.random() < 0.7)


class Outcomes:
    """What each task run does: the same whenever it is asked.

    Args:
        flow: The flow.
        seed: Of all choices.
    """

    def __init__(self, flow: FlowDefinition, seed: int) -> None:
        self._flow = flow
        self._tasks = {task.id: task for task in flow.tasks}
        self._seed = seed
        self._known: dict[tuple[str, MapPath], Outcome] = {}

    def of(self, task_id: str, path: MapPath) -> Outcome:
        """Return what a task run does."""
        key = (task_id, path)
        if key not in self._known:
            chance = random.Random(f"{self._seed}/{task_id}/{path}")
            self._known[key] = random_outcome(chance, self._flow, self._tasks[task_id])
        return self._known[key]


seeds = st.integers(min_value=0, max_value=2**32 - 1)
flows = seeds.map(lambda seed: random_flow(random.Random(seed)))
