"""An evaluator of flows that is slow and obviously right, written from the rules alone.

It walks the tasks in the order of the graph, knows every outcome upstream before it looks at
a task, and keeps no counters. It shares no code with the engine.
"""

from collections.abc import Iterable, Iterator

from ostinato.model.flow import (
    Expansion,
    FlowDefinition,
    LengthSource,
    LiteralLength,
    MinLength,
    ResultLength,
    SumLength,
    TaskDefinition,
    TaskKind,
)
from ostinato.model.identity import MapPath
from ostinato.model.policy import Criticality, TriggerRule
from tests.strategies import Outcomes

OK, FAILED, SKIPPED, BLOCKED = "succeeded", "failed", "skipped", "upstream_failed"
RUNS = "runs"


def follow_rule(rule: TriggerRule, upstream: list[str], setups: list[str]) -> str:
    """Return what becomes of a task whose whole upstream has these states."""
    if not upstream:
        return RUNS
    good = upstream.count(OK)
    failed = upstream.count(FAILED)
    blocked = upstream.count(BLOCKED)
    skipped = upstream.count(SKIPPED)
    everything = len(upstream)
    match rule:
        case TriggerRule.ALL_SUCCESS:
            if failed or blocked:
                return BLOCKED
            return SKIPPED if skipped else RUNS
        case TriggerRule.ALL_FAILED:
            return RUNS if failed + blocked == everything else SKIPPED
        case TriggerRule.ALL_DONE | TriggerRule.ALWAYS:
            return RUNS
        case TriggerRule.ALL_DONE_MIN_ONE_SUCCESS:
            if skipped:
                return SKIPPED
            return RUNS if good else BLOCKED
        case TriggerRule.ALL_DONE_SETUP_SUCCESS:
            if not setups or OK in setups:
                return RUNS
            return SKIPPED if set(setups) == {SKIPPED} else BLOCKED
        case TriggerRule.ONE_SUCCESS:
            if good:
                return RUNS
            return SKIPPED if skipped == everything else BLOCKED
        case TriggerRule.ONE_FAILED:
            return RUNS if failed or blocked else SKIPPED
        case TriggerRule.ONE_DONE:
            return RUNS if good or failed else SKIPPED
        case TriggerRule.NONE_FAILED:
            return BLOCKED if failed or blocked else RUNS
        case TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS:
            if failed or blocked:
                return BLOCKED
            return RUNS if good else SKIPPED
        case TriggerRule.NONE_SKIPPED:
            return SKIPPED if skipped else RUNS
        case TriggerRule.ALL_SKIPPED:
            return RUNS if skipped == everything else SKIPPED


class Reference:
    """The end of a run, worked out from what each of its task runs does.

    Attributes:
        states: Final state by task id and path.
        state: Of the run.
    """

    def __init__(self, flow: FlowDefinition, outcomes: Outcomes) -> None:
        self._flow = flow
        self._outcomes = outcomes
        self._tasks = {task.id: task for task in flow.tasks}
        self._groups = {group.id: group for group in flow.groups}
        self._lengths: dict[tuple[str, MapPath], int] = {}
        self._skips: set[tuple[str, MapPath]] = set()
        #: Opened mapped groups: number of members by group and the path around it.
        self._widths: dict[tuple[str, MapPath], int] = {}
        self._closed: dict[tuple[str, MapPath], str] = {}
        #: Tasks that were ready, and could not run for what the past was.
        self._stopped: set[str] = set()
        self.states: dict[tuple[str, MapPath], str] = {}
        for name in self._order():
            if name in self._tasks:
                self._finish_task(self._tasks[name])
            else:
                self._open_group(name)
        self.state = self._outcome_of_run()

    # The shape of the graph

    def _scope(self, name: str) -> tuple[str, ...]:
        """Return the mapped groups around a task or group, outermost first."""
        group = self._tasks[name].group if name in self._tasks else self._groups[name].parent
        scope: list[str] = []
        while group:
            if self._groups[group].expansion is not None:
                scope.insert(0, group)
            group = self._groups[group].parent
        return tuple(scope)

    def _upstream(self, name: str) -> set[str]:
        each = self._tasks.get(name) or self._groups[name]
        found = {edge.upstream for edge in self._flow.edges if edge.downstream == name}
        if isinstance(each, TaskDefinition):
            found |= {value.task_id for value in each.inputs}
        return found | set(_sources(each.expansion))

    def _order(self) -> list[str]:
        names = [*self._tasks, *(g.id for g in self._flow.groups if g.expansion is not None)]
        before = {name: self._upstream(name) | set(self._scope(name)) for name in names}
        order: list[str] = []
        while len(order) < len(names):
            order.extend(n for n in names if n not in order and before[n] <= set(order))
        return order

    def _paths(self, scope: tuple[str, ...], path: MapPath = ()) -> Iterator[MapPath]:
        """Yield the paths at which something in these groups exists, closed ones cut short."""
        if len(path) == len(scope):
            yield path
            return
        group = scope[len(path)]
        if (group, path) in self._closed:
            yield path
            return
        for index in range(self._widths[group, path]):
            yield from self._paths(scope, (*path, index))

    # Walking it

    def _seen_from(self, name: str, path: MapPath, upstream: str) -> list[str]:
        """Return the states of an upstream task's runs that count at a path."""
        shared = 0
        for ours, theirs in zip(self._scope(name), self._scope(upstream), strict=False):
            if ours != theirs:
                break
            shared += 1
        return [
            state
            for (task_id, where), state in self.states.items()
            if task_id == upstream and where[:shared] == path[:shared]
        ]

    def _open_group(self, name: str) -> None:
        expansion = self._groups[name].expansion
        assert expansion is not None
        scope = self._scope(name)
        for path in self._paths(scope):
            if len(path) < len(scope):
                continue
            states = [s for up in self._upstream(name) for s in self._seen_from(name, path, up)]
            decision = follow_rule(TriggerRule.ALL_SUCCESS, states, [])
            if decision == RUNS:
                width = self._width(name, expansion, path)
                if isinstance(width, int) and width > 0:
                    self._widths[name, path] = width
                    continue
                decision = SKIPPED if isinstance(width, int) else width
            self._closed[name, path] = decision

    def _finish_task(self, task: TaskDefinition) -> None:
        scope = self._scope(task.id)
        for path in self._paths(scope):
            if len(path) < len(scope):
                self.states[task.id, path] = self._closed[scope[len(path)], path]
                continue
            state = self._decide(task, path)
            if state == RUNS and not self._has_good_past(task, path):
                self._stopped.add(task.id)
                state = BLOCKED
            if state != RUNS:
                self.states[task.id, path] = state
            elif task.expansion is None:
                self._execute(task, path)
            else:
                self._expand(task, task.expansion, path)

    def _has_good_past(self, task: TaskDefinition, path: MapPath) -> bool:
        asks = task.policy.depends_on_past or task.policy.wait_for_downstream
        return not asks or self._outcomes.of(task.id, path).has_good_past

    def _decide(self, task: TaskDefinition, path: MapPath) -> str:
        if any((task.id, path[:size]) in self._skips for size in range(len(path) + 1)):
            return SKIPPED
        states: list[str] = []
        setups: list[str] = []
        for upstream in self._upstream(task.id):
            seen = self._seen_from(task.id, path, upstream)
            states += seen
            if self._tasks[upstream].kind is TaskKind.SETUP:
                setups += seen
        around = [s for up in self._setups_around(task) for s in self._seen_from(task.id, path, up)]
        if FAILED in around or BLOCKED in around:
            return BLOCKED
        if SKIPPED in around:
            return SKIPPED
        return follow_rule(task.policy.trigger_rule, states, setups)

    def _setups_around(self, task: TaskDefinition) -> list[str]:
        """Return the setups in whose scope a task lies."""
        if task.kind is TaskKind.TEARDOWN:
            return []
        found: list[str] = []
        for setup in self._flow.tasks:
            if setup.kind is not TaskKind.SETUP or task.id not in self._descendants(setup.id):
                continue
            teardowns = [
                each.id
                for each in self._flow.tasks
                if each.kind is TaskKind.TEARDOWN and setup.id in self._upstream(each.id)
            ]
            if not teardowns or self._descendants(task.id) & set(teardowns):
                found.append(setup.id)
        return found

    def _expand(self, task: TaskDefinition, expansion: Expansion, path: MapPath) -> None:
        width = self._width(task.id, expansion, path)
        if isinstance(width, str):
            self.states[task.id, path] = width
        elif width == 0:
            self.states[task.id, path] = SKIPPED
        else:
            for index in range(width):
                self._execute(task, (*path, index))

    def _execute(self, task: TaskDefinition, path: MapPath) -> None:
        outcome = self._outcomes.of(task.id, path)
        self.states[task.id, path] = {"ok": OK, "fail": FAILED, "skip": SKIPPED}[outcome.kind]
        if outcome.kind != "ok":
            return
        self._lengths[task.id, path] = outcome.length
        if outcome.chosen is not None:
            self._skip_all(task, path, self._not_chosen(task, outcome.chosen))
        if outcome.stop:
            everything = self._descendants(task.id)
            direct = {n for n in self._tasks if task.id in self._upstream(n)}
            if task.ignore_downstream_trigger_rules:
                direct = everything
            self._skip_all(task, path, direct)

    def _skip_all(self, task: TaskDefinition, path: MapPath, targets: Iterable[str]) -> None:
        for target in targets:
            if self._tasks[target].kind is TaskKind.TEARDOWN:
                continue
            shared = 0
            for ours, theirs in zip(self._scope(task.id), self._scope(target), strict=False):
                if ours != theirs:
                    break
                shared += 1
            self._skips.add((target, path[:shared]))

    def _not_chosen(self, task: TaskDefinition, chosen: tuple[str, ...]) -> set[str]:
        direct = {name for name in self._tasks if task.id in self._upstream(name)}
        names = {
            each
            for name in chosen
            for each in self._tasks
            if each == name or name in self._groups_around(each)
        }
        kept = names.union(*(self._descendants(name) for name in names & direct))
        return direct - kept

    def _groups_around(self, task_id: str) -> set[str]:
        group, around = self._tasks[task_id].group, set()
        while group:
            around.add(group)
            group = self._groups[group].parent
        return around

    def _descendants(self, task_id: str) -> set[str]:
        found: set[str] = set()
        stack = [task_id]
        while stack:
            current = stack.pop()
            for other in self._tasks:
                waits = current in self._upstream(other) or any(
                    current in self._upstream(group)
                    for group in self._groups_around(other)
                    if self._groups[group].expansion is not None
                )
                if waits and other not in found:
                    found.add(other)
                    stack.append(other)
        return found

    # Lengths

    def _width(self, name: str, expansion: Expansion, path: MapPath) -> int | str:
        width = 1
        for factor in expansion.factors:
            length = self._length(name, factor.length, path)
            if isinstance(length, str):
                return length
            width *= length
        return width

    def _length(self, name: str, source: LengthSource, path: MapPath) -> int | str:
        match source:
            case LiteralLength(length):
                return length
            case ResultLength(task_id):
                return self._length_of_result(name, task_id, path)
            case SumLength(parts) | MinLength(parts):
                lengths: list[int] = []
                for part in parts:
                    one = self._length(name, part, path)
                    if isinstance(one, str):
                        return one
                    lengths.append(one)
                return sum(lengths) if isinstance(source, SumLength) else min(lengths)

    def _length_of_result(self, name: str, task_id: str, path: MapPath) -> int | str:
        states = self._seen_from(name, path, task_id)
        shared = len(set(self._scope(name)) & set(self._scope(task_id)))
        is_mapped = self._tasks[task_id].expansion is not None
        if is_mapped or len(self._scope(task_id)) > shared:
            if FAILED in states or BLOCKED in states:
                return BLOCKED
            return states.count(OK)
        if states != [OK]:
            return SKIPPED if states == [SKIPPED] else BLOCKED
        return self._lengths[task_id, path[:shared]]

    # The run

    def _outcome_of_run(self) -> str:
        counts: dict[str, bool] = {}
        for name in self._order():
            if name not in self._tasks:
                counts[name] = any(counts[up] for up in self._upstream(name))
                continue
            states = {state for (task_id, _), state in self.states.items() if task_id == name}
            is_optional = self._tasks[name].policy.criticality is Criticality.OPTIONAL
            above = self._upstream(name) | set(self._scope(name))
            above.update(self._setups_around(self._tasks[name]))
            fails = FAILED in states or name in self._stopped
            counts[name] = (fails and not is_optional) or (
                BLOCKED in states and any(counts[up] for up in above)
            )
        return FAILED if any(counts[leaf] for leaf in self._leaves()) else OK

    def _leaves(self) -> list[str]:
        def is_teardown(name: str) -> bool:
            return name in self._tasks and self._tasks[name].kind is TaskKind.TEARDOWN

        waited_for = {
            upstream
            for name in (*self._tasks, *self._widthed())
            if not is_teardown(name)
            for upstream in self._upstream(name)
        }
        return [
            task.id
            for task in self._flow.tasks
            if (
                task.policy.on_failure_fail_run
                if is_teardown(task.id)
                else task.id not in waited_for
            )
        ]

    def _widthed(self) -> list[str]:
        return [group.id for group in self._flow.groups if group.expansion is not None]


def _sources(expansion: Expansion | None) -> list[str]:
    if expansion is None:
        return []

    def within(source: LengthSource) -> list[str]:
        match source:
            case ResultLength(task_id):
                return [task_id]
            case SumLength(parts) | MinLength(parts):
                return [name for part in parts for name in within(part)]
            case _:
                return []

    return [name for factor in expansion.factors for name in within(factor.length)]
