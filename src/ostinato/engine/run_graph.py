"""This module is how the task runs of a run hang together: what waits for what, and what opens.

How dependencies are counted: a *cell* sums up the task runs of one task that share a prefix
of indices: how many are open, and which outcomes were seen. When a cell sees an outcome for
the first time, or closes, the task runs that wait for it are looked at, and only then. So
fan-out, fan-in and chains cost the same per task run at any width.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from math import prod

from ostinato.engine import commands as cmd
from ostinato.engine import events as ev
from ostinato.engine.plan import Dependent, Plan, PlanNode
from ostinato.engine.task_run import TaskRun, TaskRunRecord
from ostinato.engine.transitions import TASK_RUN_TRANSITIONS
from ostinato.engine.trigger_rules import (
    FAILED,
    FLAG_OF_STATE,
    OUTCOMES,
    SKIPPED,
    SUCCEEDED,
    UPSTREAM_FAILED,
    Decision,
)
from ostinato.errors import InternalError
from ostinato.model.flow import (
    LengthSource,
    LiteralLength,
    ResultLength,
    SumLength,
    TaskKind,
)
from ostinato.model.identity import MapPath
from ostinato.model.policy import Policy
from ostinato.model.state import TaskRunState

PENDING = TaskRunState.PENDING
QUEUED = TaskRunState.QUEUED
RUNNING = TaskRunState.RUNNING
RETRYING = TaskRunState.RETRYING
DEFERRED = TaskRunState.DEFERRED

#: States in which something will happen by itself.
ACTIVE = frozenset({QUEUED, RUNNING, RETRYING, DEFERRED})
_WAIT, _RUN, _SKIP = Decision.WAIT, Decision.RUN, Decision.SKIP


class Cell:
    """The sum of a task's runs below a prefix of indices.

    Attributes:
        open: Task runs that are not settled; one that will expand counts once until it does.
        succeeded: How many succeeded.
        flags: Outcomes that were seen.
    """

    # Invariant: open >= 0, and open == 0 exactly when every task run below is terminal.
    __slots__ = ("flags", "open", "succeeded")

    def __init__(self) -> None:
        self.open = 1
        self.succeeded = 0
        self.flags = 0


class RunGraph:
    """The task runs of one run.

    Args:
        plan: The compiled flow.

    Attributes:
        expansions: Lengths of the mapped tasks and groups that have opened, by (id, path).
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._now_us = 0
        self._reset()

    def _reset(self) -> None:
        #: Task runs of tasks that lie in no mapped group, by position.
        self._roots: list[TaskRun | None] = [None] * len(self.plan.nodes)
        #: Task runs inside mapped groups, by position and the groups' indices.
        self._nested: dict[int, dict[MapPath, TaskRun]] = {}
        #: Task runs of mapped tasks, by position and full path.
        self._mapped: dict[int, dict[MapPath, TaskRun]] = {}
        #: Where a mapped group ended without opening: its tasks, by position and the path so far.
        self._unopened: dict[tuple[int, MapPath], TaskRun] = {}
        self._cells: list[Cell | None] = [None] * len(self.plan.nodes)
        self._nested_cells: dict[tuple[int, MapPath], Cell] = {}
        self._skip_marks: set[tuple[int, MapPath]] = set()
        self._outcomes: list[int] = [0] * len(self.plan.nodes)
        self.expansions: dict[tuple[str, MapPath], tuple[int, ...]] = {}
        #: Generations of task runs that were cleared away with their expansion.
        self._generations: dict[tuple[str, MapPath], TaskRunRecord] = {}
        # Invariant: _live counts task runs and unopened groups that are not terminal,
        # _active those of them in ACTIVE.
        self._live = 0
        self._active = 0
        self._is_restoring = False
        self._todo: deque[TaskRun] = deque()
        self._out: list[cmd.Command] = []

    # Reading

    def task_run(self, task_id: str, path: MapPath = ()) -> TaskRun | None:
        """Return a task run, or None while it does not exist."""
        position = self.plan.positions.get(task_id)
        if position is None:
            return None
        node = self.plan.nodes[position]
        if node.expansion is not None and node.task is not None:
            found = self._mapped.get(position, NO_RUNS).get(path)
            if found is not None:
                return found
        runs = self._nested.get(position, NO_RUNS)
        found = runs.get(path) if path else self._roots[position]
        return found or self._unopened.get((position, path))

    def task_runs(self) -> Iterator[TaskRun]:
        """Yield every task run that exists, tasks in the order of the definition.

        A mapped task that has not opened is one task run with a shorter path.
        """
        unopened: dict[int, list[TaskRun]] = {}
        for (position, _path), task_run in self._unopened.items():
            unopened.setdefault(position, []).append(task_run)
        for node in self.plan.nodes:
            if node.task is None:
                continue
            position = node.position
            root = self._roots[position]
            if root is not None:
                yield root
            yield from self._nested.get(position, NO_RUNS).values()
            yield from self._mapped.get(position, NO_RUNS).values()
            yield from unopened.get(position, ())

    def is_settled(self, task_id: str, prefix: MapPath) -> bool:
        """Whether all runs of a task below a prefix have ended, so that no result follows."""
        size = len(prefix)
        groups = self.plan.nodes[self.plan.positions[task_id]].scope
        if any(
            group.state is PENDING and group.path[:size] == prefix[: len(group.path)]
            for container in groups
            for group in self.runs_of(container)
        ):
            # What is in the group is still to come.
            return False
        return all(
            task_run.state.is_terminal
            for task_run in self.runs_of(task_id)
            if task_run.path[:size] == prefix
        )

    def runs_of(self, task_id: str) -> Iterator[TaskRun]:
        """Yield the task runs of one task that exist; of a group, what stands for it."""
        position = self.plan.positions[task_id]
        root = self._roots[position]
        if root is not None:
            yield root
        yield from self._nested.get(position, NO_RUNS).values()
        yield from self._mapped.get(position, NO_RUNS).values()

    def successful_paths(self, task_id: str, prefix: MapPath) -> list[MapPath]:
        """Return, in order, the paths below a prefix at which a task succeeded."""
        position = self.plan.positions[task_id]
        node = self.plan.nodes[position]
        runs = self._mapped if node.expansion is not None else self._nested
        size = len(prefix)
        return sorted(
            path
            for path, task_run in runs.get(position, NO_RUNS).items()
            if task_run.state is TaskRunState.SUCCEEDED and path[:size] == prefix
        )

    def lengths_along(self, task_run: TaskRun) -> tuple[tuple[int, ...], ...]:
        """Return the lengths of the mapped arguments at each index of a task run's path."""
        node = self.plan.nodes[task_run.position]
        containers = node.scope if node.expansion is None else (*node.scope, node.id)
        path = task_run.path
        return tuple(
            self.expansions[container, path[:depth]]
            for depth, container in enumerate(containers[: len(path)])
        )

    # Opening the graph

    def _open_all(self) -> None:
        """Make what exists from the start: everything outside of mapped groups."""
        for position in self.plan.order:
            if not self.plan.nodes[position].scope:
                self._create(position, ())

    def _create(self, position: int, path: MapPath) -> None:
        node = self.plan.nodes[position]
        flags, waiting = 0, 0
        for upstream, depth in node.upstream:
            cell = self._cell(upstream, path[:depth])
            flags |= cell.flags << self._setup_shift(upstream)
            flags |= cell.flags
            waiting += cell.open > 0
        task_run = TaskRun(position, node.id, path, flags, waiting)
        task_run.is_expanding = node.expansion is not None
        self._inherit(task_run)
        if path:
            self._nested.setdefault(position, {})[path] = task_run
        else:
            self._roots[position] = task_run
        self._live += 1
        if self._is_restoring:
            return
        if self._skip_marks and node.task is not None and self._is_marked(position, path):
            self._end_without_attempt(task_run, TaskRunState.SKIPPED, "not chosen")
        else:
            self._todo.append(task_run)

    def _inherit(self, task_run: TaskRun) -> None:
        """Go on with the numbers of a task run that was cleared away with its expansion."""
        if self._generations:
            earlier = self._generations.get((task_run.task_id, task_run.path))
            if earlier is not None:
                task_run.generation = earlier.generation
                task_run.attempt = earlier.attempt

    def _setup_shift(self, position: int) -> int:
        task = self.plan.nodes[position].task
        return 4 if task is not None and task.kind is TaskKind.SETUP else 0

    def _cell(self, position: int, prefix: MapPath) -> Cell:
        if not prefix:
            cell = self._cells[position]
            if cell is None:
                cell = self._cells[position] = Cell()
            return cell
        key = (position, prefix)
        cell = self._nested_cells.get(key)
        if cell is None:
            cell = self._nested_cells[key] = Cell()
        return cell

    # Deciding

    def _evaluate(self, task_run: TaskRun) -> None:
        if task_run.state is not PENDING:
            return
        node = self.plan.nodes[task_run.position]
        if node.guards and (decision := self._follow_setups(node, task_run.path)) is not _RUN:
            pass
        elif not node.upstream or (node.guards and self.is_index(task_run)):
            decision = _RUN
        else:
            decision = node.decisions[task_run.waiting == 0][task_run.flags]
        if decision is _WAIT:
            return
        if decision is _RUN:
            if node.asks_past and not self.is_index(task_run):
                self._ask_past(task_run, node)
            elif task_run.is_expanding:
                # A rule may be content before what is mapped over has its length.
                if self._has_lengths(node, task_run.path):
                    self._expand(task_run, node)
            else:
                self._enqueue(task_run)
            return
        state = TaskRunState.SKIPPED if decision is _SKIP else TaskRunState.UPSTREAM_FAILED
        self._close(task_run, node, state)

    def _ask_past(self, task_run: TaskRun, node: PlanNode) -> None:
        """Let a task run that could start wait until earlier runs are known to have gone well."""
        if task_run.is_expanding and not self._has_lengths(node, task_run.path):
            return
        self._move(task_run, DEFERRED)
        # It was ready at this moment; of what ends so, this tells that the past is to blame.
        task_run.queued_us = self._now_us
        self._out.append(cmd.AskPast(task_run))
        self._out.append(cmd.SaveTaskRun(task_run))

    def _let_in(self, task_run: TaskRun) -> None:
        """Go on with a task run whose past is good."""
        task_run.queued_us = 0
        if task_run.is_expanding:
            self._expand(task_run, self.plan.nodes[task_run.position])
        else:
            self._enqueue(task_run)

    def _follow_setups(self, node: PlanNode, path: MapPath) -> Decision:
        """Return what the setups around a task run decide; its own rule comes after them.

        A failure is followed at once, a skip when all have settled, so that the decision does
        not depend on which of several setups ends first.
        """
        seen, is_open = 0, False
        for setup, depth in node.guards:
            cell = self._cell(setup, path[:depth])
            seen |= cell.flags
            is_open = is_open or cell.open > 0
        if seen & (FAILED | UPSTREAM_FAILED):
            return Decision.FAIL
        if is_open:
            return _WAIT
        return _SKIP if seen & SKIPPED else _RUN

    def _close(
        self, task_run: TaskRun, node: PlanNode, state: TaskRunState, reason: str = ""
    ) -> None:
        """End a task run, or all that is in a mapped group that never opens."""
        if node.task is not None:
            self._end_without_attempt(task_run, state, reason)
        else:
            self._close_group(task_run, node, state, reason)

    def _close_group(
        self, task_run: TaskRun, node: PlanNode, state: TaskRunState, reason: str
    ) -> None:
        task_run.state = state
        self._live -= 1
        for member in node.subtree:
            inside = self.plan.nodes[member]
            stand_in = TaskRun(member, inside.id, task_run.path, 0, 0)
            self._inherit(stand_in)
            self._unopened[member, task_run.path] = stand_in
            self._live += 1
            self._end_without_attempt(stand_in, state, reason)

    def _enqueue(self, task_run: TaskRun) -> None:
        self._move(task_run, QUEUED)
        task_run.queued_us = self._now_us
        self._out.append(cmd.Enqueue(task_run))
        self._out.append(cmd.SaveTaskRun(task_run))

    # Expanding

    def _expand(self, task_run: TaskRun, node: PlanNode) -> None:
        lengths = self._lengths(node, task_run.path)
        if isinstance(lengths, TaskRunState):
            self._close(task_run, node, lengths)
            return
        self._out.append(cmd.SaveExpansion(node.id, task_run.path, lengths))
        self._out.append(cmd.Record(ev.Expanded(self._now_us, node.id, task_run.path, lengths)))
        self._open(task_run, node, lengths)

    def _has_lengths(self, node: PlanNode, path: MapPath) -> bool:
        return all(self._cell(source, path[:depth]).open == 0 for source, depth in node.sources)

    def _lengths(self, node: PlanNode, path: MapPath) -> tuple[int, ...] | TaskRunState:
        """Return the length of each mapped argument, or what becomes of the node instead."""
        assert node.expansion is not None
        lengths: list[int] = []
        for factor in node.expansion.factors:
            length = self._length(factor.length, node, path)
            if isinstance(length, TaskRunState):
                return length
            lengths.append(length)
        return tuple(lengths)

    def _length(self, source: LengthSource, node: PlanNode, path: MapPath) -> int | TaskRunState:
        if isinstance(source, LiteralLength):
            return source.length
        if isinstance(source, ResultLength):
            return self._result_length(self.plan.positions[source.task_id], node, path)
        lengths: list[int] = []
        for part in source.parts:
            length = self._length(part, node, path)
            if isinstance(length, TaskRunState):
                return length
            lengths.append(length)
        return sum(lengths) if isinstance(source, SumLength) else min(lengths, default=0)

    def _result_length(self, position: int, node: PlanNode, path: MapPath) -> int | TaskRunState:
        producer = self.plan.nodes[position]
        depth = self.plan.shared_depth(position, node.position)
        cell = self._cell(position, path[:depth])
        if producer.expansion is not None or len(producer.scope) > depth:
            # Mapping over a mapped task: one index for each of its successes.
            if cell.flags & (FAILED | UPSTREAM_FAILED):
                return TaskRunState.UPSTREAM_FAILED
            return cell.succeeded
        task_run = self.task_run(producer.id, path[:depth])
        if task_run is None or task_run.state is not TaskRunState.SUCCEEDED:
            was_skipped = cell.flags & OUTCOMES == SKIPPED
            return TaskRunState.SKIPPED if was_skipped else TaskRunState.UPSTREAM_FAILED
        return task_run.length or 0

    def _open(self, task_run: TaskRun, node: PlanNode, lengths: tuple[int, ...]) -> None:
        path = task_run.path
        self.expansions[node.id, path] = lengths
        width = prod(lengths)
        if width == 0:
            self._close(task_run, node, TaskRunState.SKIPPED, "nothing to map over")
        elif node.task is not None:
            self._open_task(task_run, node, width)
        else:
            self._open_group(task_run, node, width)

    def _open_task(self, task_run: TaskRun, node: PlanNode, width: int) -> None:
        position, task_id, path = node.position, node.id, task_run.path
        for depth in node.depths:
            self._cell(position, path[:depth]).open += width - 1
        runs = self._mapped.setdefault(position, {})
        out, now_us = self._out, self._now_us
        # The hot loop of a wide fan-out: states are set directly, all are new. An expansion is
        # one row; its task runs get theirs when they start.
        for index in range(width):
            each = TaskRun(position, task_id, (*path, index), 0, 0)
            each.state = QUEUED
            each.queued_us = now_us
            runs[each.path] = each
            if self._generations:
                self._inherit(each)
            if not self._is_restoring:
                out.append(cmd.Enqueue(each))
        self._active += width
        self._live += width - 1
        # The one that stood for all is gone; if it ended unopened or waited, it has a row.
        has_row = task_run.generation or task_run.state is DEFERRED
        self._active -= task_run.state in ACTIVE
        task_run.state = TaskRunState.REMOVED
        if has_row and not self._is_restoring:
            self._out.append(cmd.SaveTaskRun(task_run))
        if path:
            del self._nested[position][path]
        else:
            self._roots[position] = None

    def _open_group(self, task_run: TaskRun, node: PlanNode, width: int) -> None:
        path = task_run.path
        inside = len(path)
        for member in node.subtree:
            for depth in self.plan.nodes[member].depths:
                if depth <= inside:
                    self._cell(member, path[:depth]).open += width - 1
        task_run.state = TaskRunState.SUCCEEDED
        self._live -= 1
        members = sorted(node.members, key=self._rank)
        for index in range(width):
            for member in members:
                self._create(member, (*path, index))

    def _rank(self, position: int) -> int:
        return self.plan.nodes[position].upstream != []

    # Ending task runs

    def _end_without_attempt(
        self, task_run: TaskRun, state: TaskRunState, reason: str = ""
    ) -> None:
        self._move(task_run, state)
        task_run.ended_us = self._now_us
        task_run.deferral = None
        self._out.append(cmd.SaveTaskRun(task_run))
        self._record_end(task_run, reason)
        self._tell_dependents(task_run, FLAG_OF_STATE[state])

    def _record_end(self, task_run: TaskRun, reason: str) -> None:
        fact = ev.TaskRunEnded(
            self._now_us, task_run.task_id, task_run.path, task_run.state.label, reason
        )
        self._out.append(cmd.Record(fact))

    def _tell_dependents(self, task_run: TaskRun, flag: int) -> None:
        position, path = task_run.position, task_run.path
        self._outcomes[position] |= flag
        node = self.plan.nodes[position]
        for depth in node.depths:
            if depth > len(path):
                # It ended before the groups around it opened: nobody inside is waiting.
                break
            prefix = path[:depth]
            cell = self._cell(position, prefix)
            cell.open -= 1
            if cell.open < 0:
                message = f"cell of {task_run!r} closed twice"
                raise InternalError(message)
            if flag == SUCCEEDED:
                cell.succeeded += 1
            new = flag & ~cell.flags
            has_closed = cell.open == 0
            if new or has_closed:
                cell.flags |= flag
                for dependent in node.dependents[depth]:
                    self._tell(dependent, prefix, new, has_closed=has_closed)
                if node.guarded and not self._is_restoring:
                    for dependent in node.guarded.get(depth, ()):
                        self._todo.extend(self._waiting_at(dependent, prefix))

    def _tell(self, dependent: Dependent, prefix: MapPath, new: int, *, has_closed: bool) -> None:
        if new and dependent.setup_shift:
            new |= new << dependent.setup_shift
        for task_run in self._runs_at(dependent.position, prefix, dependent.is_same_depth):
            task_run.flags |= new
            task_run.waiting -= has_closed
            if task_run.state is PENDING and not self._is_restoring:
                self._todo.append(task_run)

    def _runs_at(self, position: int, prefix: MapPath, is_exact: bool) -> Iterable[TaskRun]:  # noqa: FBT001 - hot
        """Return the task runs, before their own expansion, below a prefix."""
        if not prefix:
            if is_exact:
                root = self._roots[position]
                return (root,) if root is not None else ()
            return list(self._nested.get(position, NO_RUNS).values())
        runs = self._nested.get(position, NO_RUNS)
        if is_exact:
            found = runs.get(prefix)
            return (found,) if found is not None else ()
        size = len(prefix)
        return [task_run for path, task_run in runs.items() if path[:size] == prefix]

    def _waiting_at(self, dependent: Dependent, prefix: MapPath) -> list[TaskRun]:
        """Return what waits below a prefix, cleared indices of mapped tasks among it."""
        position, size = dependent.position, len(prefix)
        indices = self._mapped.get(position, NO_RUNS)
        runs = [run for path, run in indices.items() if path[:size] == prefix]
        runs.extend(self._runs_at(position, prefix, dependent.is_same_depth))
        return [run for run in runs if run.state is PENDING]

    def is_index(self, task_run: TaskRun) -> bool:
        """Whether it is one of the task runs that a mapped task has opened to."""
        return len(task_run.path) > len(self.plan.nodes[task_run.position].scope)

    # Branches and short circuits

    def _skip_downstream(self, task_run: TaskRun) -> None:
        position = task_run.position
        for target in self._skipped_by(task_run):
            depth = self.plan.shared_depth(position, target)
            prefix = task_run.path[:depth]
            node = self.plan.nodes[target]
            if len(node.scope) > depth or self._is_restoring:
                self._skip_marks.add((target, prefix))
            for waiting in self._runs_at(target, prefix, len(node.scope) == depth):
                if waiting.state is PENDING and not self._is_restoring:
                    self._end_without_attempt(waiting, TaskRunState.SKIPPED, f"by {task_run.key}")

    def _skipped_by(self, task_run: TaskRun) -> list[int]:
        position = task_run.position
        direct = self.plan.direct_downstream(position)
        task = self.plan.nodes[position].task
        if task_run.stop:
            if task is None or not task.ignore_downstream_trigger_rules:
                return [p for p in direct if self.plan.is_plain(p)]
            everything = self.plan.descendants(position)
            return [p for p in self.plan.order if p in everything and self.plan.is_plain(p)]
        chosen: set[int] = set()
        for name in task_run.chosen or ():
            found = self.plan.positions.get(name)
            is_task = found is not None and self.plan.nodes[found].task is not None
            for task_id in [name] if is_task else self.plan.groups.get(name, ()):
                if task_id in self.plan.positions:
                    chosen.add(self.plan.positions[task_id])
        kept = chosen.union(*(self.plan.descendants(one) for one in chosen & set(direct)))
        return [p for p in direct if p not in kept and self.plan.is_plain(p)]

    def _is_marked(self, position: int, path: MapPath) -> bool:
        return any((position, path[:size]) in self._skip_marks for size in range(len(path) + 1))

    # Small steps

    def _all_task_runs(self) -> Iterator[TaskRun]:
        """Yield every task run, those that stand for an unknown number included."""
        for node in self.plan.nodes:
            if node.task is not None:
                root = self._roots[node.position]
                if root is not None:
                    yield root
                yield from self._nested.get(node.position, NO_RUNS).values()
                yield from self._mapped.get(node.position, NO_RUNS).values()

    def _is_teardown(self, task_run: TaskRun) -> bool:
        return self.plan.nodes[task_run.position].is_teardown

    def _policy(self, task_run: TaskRun) -> Policy:
        task = self.plan.nodes[task_run.position].task
        assert task is not None
        return task.policy

    def _move(self, task_run: TaskRun, state: TaskRunState) -> None:
        old = task_run.state
        if state not in TASK_RUN_TRANSITIONS[old]:
            message = f"{task_run!r} cannot become {state.label}"
            raise InternalError(message)
        task_run.state = state
        self._active += (state in ACTIVE) - (old in ACTIVE)
        if state >= TaskRunState.SUCCEEDED:
            self._live -= 1


NO_RUNS: dict[MapPath, TaskRun] = {}
