"""This module is the state of a run and the rules by which events change it.

``RunMachine.apply`` takes an event and returns commands; it reads no clock, does no I/O and
draws no chance. The machine is changed in place, in time proportional to the edges that
change; if a commit fails it is thrown away and restored from the store.

How dependencies are counted: a *cell* sums up the task runs of one task that share a prefix
of indices: how many are open, and which outcomes were seen. When a cell sees an outcome for
the first time, or closes, the task runs that wait for it are looked at, and only then. So
fan-out, fan-in and chains cost the same per task run at any width.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from math import prod
from typing import NamedTuple

from ostinato.engine import commands as cmd
from ostinato.engine import events as ev
from ostinato.engine.plan import Dependent, Plan, PlanNode
from ostinato.engine.retry import retry_delay_s
from ostinato.engine.task_run import TaskRun
from ostinato.engine.transitions import RUN_TRANSITIONS, TASK_RUN_TRANSITIONS
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
from ostinato.model.failure import Failure, FailureKind
from ostinato.model.flow import (
    LengthSource,
    LiteralLength,
    MinLength,
    ResultLength,
    SumLength,
    TaskKind,
)
from ostinato.model.identity import MapPath
from ostinato.model.policy import Policy
from ostinato.model.state import RunState, TaskRunState

PENDING = TaskRunState.PENDING
QUEUED = TaskRunState.QUEUED
RUNNING = TaskRunState.RUNNING
RETRYING = TaskRunState.RETRYING
DEFERRED = TaskRunState.DEFERRED

#: States in which something will happen by itself.
_ACTIVE = frozenset({QUEUED, RUNNING, RETRYING, DEFERRED})
_WAIT, _RUN, _SKIP = Decision.WAIT, Decision.RUN, Decision.SKIP

DEADLINE = "deadline"
RUN_ENDING = "run ending"


class TaskRunRecord(NamedTuple):
    """A task run as it was kept, for restoring a machine; fields as in ``TaskRun``."""

    task_id: str
    path: MapPath
    state: TaskRunState
    attempt: int = 0
    generation: int = 0
    failures: int = 0
    losses: int = 0
    queued_us: int = 0
    first_started_us: int = 0
    started_us: int = 0
    ended_us: int = 0
    due_us: int = 0
    length: int | None = None
    chosen: tuple[str, ...] | None = None
    stop: bool = False


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


class RunMachine:
    """One run, changed by events alone.

    Args:
        plan: The compiled flow.

    Attributes:
        state: Where the run stands.
        reason: Why it ended as it did, or is ending; empty for a success.
        expansions: Lengths of the mapped tasks and groups that have opened, by (id, path).
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.state = RunState.QUEUED
        self.reason = ""
        self.started_us = 0
        self.ended_us = 0
        self.generation = 0
        #: What the run ends as, once its running attempts have reported; None while it goes on.
        self._ending: RunState | None = None
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
        # _active those of them in _ACTIVE.
        self._live = 0
        self._active = 0
        self._is_restoring = False
        self._todo: deque[TaskRun] = deque()
        self._out: list[cmd.Command] = []
        self._now_us = 0

    # Reading

    @property
    def is_terminal(self) -> bool:
        """Whether the run has ended."""
        return self.state.is_terminal

    @property
    def has_active(self) -> bool:
        """Whether anything is queued, running, retrying or deferred."""
        return self._active > 0

    def task_run(self, task_id: str, path: MapPath = ()) -> TaskRun | None:
        """Return a task run, or None while it does not exist."""
        position = self.plan.positions.get(task_id)
        if position is None:
            return None
        node = self.plan.nodes[position]
        if node.expansion is not None and node.task is not None:
            found = self._mapped.get(position, _NO_RUNS).get(path)
            if found is not None:
                return found
        if not path:
            found = self._roots[position]
        else:
            found = self._nested.get(position, _NO_RUNS).get(path)
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
            if root is not None and not root.is_expanding:
                yield root
            for task_run in self._nested.get(position, _NO_RUNS).values():
                if not task_run.is_expanding:
                    yield task_run
            yield from self._mapped.get(position, _NO_RUNS).values()
            yield from unopened.get(position, ())

    def successful_paths(self, task_id: str, prefix: MapPath) -> list[MapPath]:
        """Return, in order, the paths below a prefix at which a task succeeded."""
        position = self.plan.positions[task_id]
        node = self.plan.nodes[position]
        runs = self._mapped if node.expansion is not None else self._nested
        size = len(prefix)
        return sorted(
            path
            for path, task_run in runs.get(position, _NO_RUNS).items()
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

    # Changing

    def apply(self, event: ev.Input) -> list[cmd.Command]:
        """Change the run by an event and return what is to be done.

        An event that comes too late, such as the result of an attempt that was lost, changes
        nothing and returns nothing.

        Raises:
            InternalError: The event breaks an invariant.
        """
        self._out = []
        self._now_us = event.at_us
        _HANDLERS[type(event)](self, event)
        self._settle_all()
        return self._out

    def _settle_all(self) -> None:
        todo = self._todo
        while todo:
            self._evaluate(todo.popleft())
        if not self.state.is_terminal and self.state is not RunState.QUEUED:
            if self._live == 0:
                self._end_run()
            elif self._active == 0 and self.state is not RunState.PAUSED:
                self._end_deadlocked()

    # Handlers of events

    def _on_run_started(self, event: ev.RunStarted) -> None:
        if self.state is not RunState.QUEUED:
            return
        self._move_run(RunState.RUNNING)
        self.started_us = event.at_us
        self._save_run()
        self._open_all()
        timeout_s = self.plan.flow.timeout_s
        if timeout_s:
            self._out.append(cmd.SetTimer(event.at_us + int(timeout_s * 1e6), "run_timeout"))

    def _on_attempt_started(self, event: ev.AttemptStarted) -> None:
        task_run = self.task_run(event.task_id, event.path)
        if task_run is None or task_run.state is not QUEUED or event.attempt != task_run.attempt + 1:
            message = f"attempt {event.attempt} dispatched for {task_run!r}"
            raise InternalError(message)
        self._move(task_run, RUNNING)
        task_run.attempt = event.attempt
        task_run.started_us = event.at_us
        task_run.ended_us = 0
        task_run.due_us = 0
        if not task_run.first_started_us:
            task_run.first_started_us = event.at_us
            self._set_deadline(task_run)
        self._out.append(cmd.SaveTaskRun(task_run))

    def _on_attempt_succeeded(self, event: ev.AttemptSucceeded) -> None:
        task_run = self._reported(event)
        if task_run is None:
            return
        task_run.length = event.length
        task_run.chosen = event.chosen
        task_run.stop = event.stop
        if event.chosen is not None or event.stop:
            self._skip_downstream(task_run)
        self._finish(task_run, TaskRunState.SUCCEEDED)

    def _on_attempt_skipped(self, event: ev.AttemptSkipped) -> None:
        task_run = self._reported(event)
        if task_run is not None:
            self._finish(task_run, TaskRunState.SKIPPED)

    def _on_attempt_failed(self, event: ev.AttemptFailed) -> None:
        task_run = self._reported(event)
        if task_run is None:
            return
        task_run.failures += 1
        if task_run.cancel_reason == RUN_ENDING and event.failure.kind is FailureKind.CANCELLED:
            self._finish(task_run, TaskRunState.CANCELLED)
            return
        delay_s = None
        if self._ending is None and not task_run.cancel_reason:
            delay_s = retry_delay_s(self._policy(task_run), task_run.failures, event)
        if delay_s is None:
            self._finish(task_run, TaskRunState.FAILED)
        else:
            self._retry(task_run, delay_s, "failed")

    def _on_attempt_lost(self, event: ev.AttemptLost) -> None:
        task_run = self._reported(event)
        if task_run is not None:
            self._lose(task_run)

    def _lose(self, task_run: TaskRun) -> None:
        task_run.losses += 1
        if task_run.cancel_reason == DEADLINE:
            self._finish(task_run, TaskRunState.FAILED)
        elif self._ending is not None and not self._is_teardown(task_run):
            self._finish(task_run, TaskRunState.CANCELLED)
        elif task_run.losses > self._policy(task_run).lost_attempts:
            self._finish(task_run, TaskRunState.FAILED)
        else:
            self._retry(task_run, 0.0, "lost")

    def _on_attempt_revoked(self, event: ev.AttemptRevoked) -> None:
        task_run = self._reported(event)
        if task_run is None:
            return
        if self._ending is not None and not self._is_teardown(task_run):
            self._finish(task_run, TaskRunState.CANCELLED)
        elif task_run.cancel_reason == DEADLINE:
            self._finish(task_run, TaskRunState.FAILED)
        else:
            self._enqueue(task_run)

    def _on_attempt_deferred(self, event: ev.AttemptDeferred) -> None:
        task_run = self._reported(event)
        if task_run is None:
            return
        if self._ending is not None and not self._is_teardown(task_run):
            self._finish(task_run, TaskRunState.CANCELLED)
            return
        task_run.due_us = event.until_us
        self._move(task_run, DEFERRED)
        self._out.append(cmd.SaveTaskRun(task_run))
        self._set_timer("deferral", task_run, event.until_us)

    def _on_timer_fired(self, event: ev.TimerFired) -> None:
        if event.kind == "run_timeout":
            if self._ending is None and not self.is_terminal:
                seconds = self.plan.flow.timeout_s
                self._end_early(RunState.FAILED, f"timeout: it ran longer than {seconds:g} s")
            return
        task_run = self.task_run(event.task_id, event.path)
        if task_run is None:
            return
        if event.kind == "deadline":
            self._pass_deadline(task_run, event)
        elif task_run.attempt == event.attempt and task_run.state in (RETRYING, DEFERRED):
            self._enqueue(task_run)

    def _pass_deadline(self, task_run: TaskRun, event: ev.TimerFired) -> None:
        # The timer carries the generation in ``attempt``: a clear makes it void.
        if task_run.generation != event.attempt:
            return
        if task_run.state is RUNNING:
            if not task_run.cancel_reason:
                task_run.cancel_reason = DEADLINE
                self._out.append(cmd.CancelAttempt(task_run, self._deadline_text(task_run)))
        elif task_run.state in _ACTIVE:
            if task_run.state is QUEUED:
                self._out.append(cmd.Dequeue(task_run))
            self._finish(task_run, TaskRunState.FAILED, self._deadline_text(task_run))

    def _on_cancel_requested(self, event: ev.CancelRequested) -> None:
        if self.is_terminal:
            return
        reason = f"cancelled by {event.by}" if event.by else "cancelled"
        if self.state is RunState.QUEUED:
            self._move_run(RunState.RUNNING)
            self.started_us = event.at_us
            self._open_all()
        self._end_early(RunState.CANCELLED, reason)

    def _on_recovered(self, event: ev.Recovered) -> None:
        for task_run in list(self.task_runs()):
            if task_run.state is RUNNING:
                task_run.ended_us = event.at_us
                # A run that was interrupted by hand is no fault of the tasks in it.
                task_run.losses -= not event.is_counted
                self._lose(task_run)

    def _on_task_runs_cleared(self, event: ev.TaskRunsCleared) -> None:
        cleared = self._cleared_by(event.keys)
        records = {(r.task_id, r.path): r for r in self.snapshot()}
        expansions = dict(self.expansions)
        for key, task_run in cleared.runs.items():
            if task_run.attempt:
                self._archive(task_run, task_run.state.label)
            records[key] = TaskRunRecord(
                *key,
                TaskRunState.PENDING,
                attempt=task_run.attempt,
                generation=task_run.generation + 1,
            )
        for expansion in cleared.expansions:
            del expansions[expansion]
            self._out.append(cmd.SaveExpansion(*expansion, ()))
        out, started_us, generation = self._out, self.started_us, self.generation
        self._reset()
        self._out = out
        self._ending = None
        self.reason = ""
        self.started_us, self.ended_us, self.generation = started_us, 0, generation + 1
        self._move_run(RunState.RUNNING)
        self._save_run()
        self._out.append(cmd.Record(ev.RunStateChanged(event.at_us, RunState.RUNNING.label)))
        self._fill(records.values(), expansions)
        for key in cleared.runs:
            task_run = self.task_run(*key) or self._gone(records[key])
            self._out.append(cmd.SaveTaskRun(task_run))

    def _gone(self, record: TaskRunRecord) -> TaskRun:
        """Stand for a task run whose expansion was cleared away: removed until it comes again."""
        task_run = TaskRun(self.plan.positions[record.task_id], record.task_id, record.path, 0, 0)
        task_run.state = TaskRunState.REMOVED
        task_run.attempt = record.attempt
        task_run.generation = record.generation
        return task_run

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
        if not node.upstream:
            decision = _RUN
        else:
            decision = node.decisions[task_run.waiting == 0][task_run.flags]
        if decision is _WAIT:
            return
        if decision is _RUN:
            if task_run.is_expanding:
                self._expand(task_run, node)
            else:
                self._enqueue(task_run)
            return
        state = TaskRunState.SKIPPED if decision is _SKIP else TaskRunState.UPSTREAM_FAILED
        self._close(task_run, node, state)

    def _close(self, task_run: TaskRun, node: PlanNode, state: TaskRunState, reason: str = "") -> None:
        """End a task run, or all that is in a mapped group that never opens."""
        if node.task is not None:
            self._end_without_attempt(task_run, state, reason)
        else:
            self._close_group(task_run, node, state, reason)

    def _close_group(self, task_run: TaskRun, node: PlanNode, state: TaskRunState, reason: str) -> None:
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
        was_new = task_run.state is PENDING
        self._move(task_run, QUEUED)
        task_run.queued_us = self._now_us
        self._out.append(cmd.Enqueue(task_run))
        if not was_new or not self._is_mapped_instance(task_run):
            self._out.append(cmd.SaveTaskRun(task_run))

    def _is_mapped_instance(self, task_run: TaskRun) -> bool:
        # An expansion is one row; its task runs get theirs when they start.
        return bool(task_run.path) and self.plan.nodes[task_run.position].expansion is not None

    # Expanding

    def _expand(self, task_run: TaskRun, node: PlanNode) -> None:
        lengths = self._lengths(node, task_run.path)
        if isinstance(lengths, TaskRunState):
            self._close(task_run, node, lengths)
            return
        self._out.append(cmd.SaveExpansion(node.id, task_run.path, lengths))
        self._out.append(
            cmd.Record(ev.Expanded(self._now_us, node.id, task_run.path, lengths))
        )
        self._open(task_run, node, lengths)

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
        match source:
            case LiteralLength(length):
                return length
            case ResultLength(task_id):
                return self._result_length(self.plan.positions[task_id], node, path)
            case SumLength(parts) | MinLength(parts):
                lengths: list[int] = []
                for part in parts:
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
        # The hot loop of a wide fan-out: states are set directly, all are new.
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
        # The one that stood for all is gone.
        task_run.state = TaskRunState.SUCCEEDED
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

    def _finish(self, task_run: TaskRun, state: TaskRunState, reason: str = "") -> None:
        """End a task run that had an attempt."""
        self._move(task_run, state)
        task_run.cancel_reason = ""
        if not task_run.ended_us:
            task_run.ended_us = self._now_us
        self._out.append(cmd.SaveTaskRun(task_run))
        if reason or state is TaskRunState.CANCELLED:
            self._record_end(task_run, reason)
        self._tell_dependents(task_run, FLAG_OF_STATE[state])
        node = self.plan.nodes[task_run.position]
        if state is TaskRunState.FAILED and node.is_critical and self._ending is None:
            self._end_early(RunState.FAILED, f"critical task {task_run.key} failed")

    def _end_without_attempt(self, task_run: TaskRun, state: TaskRunState, reason: str = "") -> None:
        self._move(task_run, state)
        task_run.ended_us = self._now_us
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
            return list(self._nested.get(position, _NO_RUNS).values())
        runs = self._nested.get(position, _NO_RUNS)
        if is_exact:
            found = runs.get(prefix)
            return (found,) if found is not None else ()
        size = len(prefix)
        return [task_run for path, task_run in runs.items() if path[:size] == prefix]

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
                return direct
            everything = self.plan.descendants(position)
            return [p for p in self.plan.order if p in everything and self._is_plain(p)]
        chosen: set[int] = set()
        for name in task_run.chosen or ():
            for task_id in self.plan.groups.get(name, [name]):
                if task_id in self.plan.positions:
                    chosen.add(self.plan.positions[task_id])
        kept = chosen.union(*(self.plan.descendants(one) for one in chosen & set(direct)))
        return [target for target in direct if target not in kept]

    def _is_plain(self, position: int) -> bool:
        node = self.plan.nodes[position]
        return node.task is not None and not node.is_teardown

    def _is_marked(self, position: int, path: MapPath) -> bool:
        return any((position, path[:size]) in self._skip_marks for size in range(len(path) + 1))

    # Attempts

    def _reported(
        self,
        event: ev.AttemptSucceeded
        | ev.AttemptSkipped
        | ev.AttemptFailed
        | ev.AttemptLost
        | ev.AttemptRevoked
        | ev.AttemptDeferred,
    ) -> TaskRun | None:
        """Return the task run that a report is about, None if the report comes too late."""
        task_run = self.task_run(event.task_id, event.path)
        if task_run is None or task_run.state is not RUNNING or task_run.attempt != event.attempt:
            return None
        task_run.ended_us = event.at_us
        if not isinstance(event, _WITHOUT_TIMES) and event.started_us:
            task_run.started_us = event.started_us
            task_run.ended_us = event.ended_us
        return task_run

    def _retry(self, task_run: TaskRun, delay_s: float, state: str) -> None:
        self._archive(task_run, state)
        due_us = self._now_us + int(delay_s * 1e6)
        self._out.append(
            cmd.Record(ev.RetryScheduled(self._now_us, task_run.task_id, task_run.path, due_us))
        )
        if delay_s <= 0:
            self._enqueue(task_run)
            return
        task_run.due_us = due_us
        self._move(task_run, RETRYING)
        self._out.append(cmd.SaveTaskRun(task_run))
        self._set_timer("retry", task_run, due_us)

    def _archive(self, task_run: TaskRun, state: str) -> None:
        self._out.append(
            cmd.ArchiveAttempt(
                task_run,
                task_run.attempt,
                task_run.generation,
                state,
                task_run.started_us,
                task_run.ended_us or self._now_us,
            )
        )

    def _set_timer(self, kind: str, task_run: TaskRun, at_us: int) -> None:
        self._out.append(
            cmd.SetTimer(at_us, kind, task_run.task_id, task_run.path, task_run.attempt)
        )

    def _set_deadline(self, task_run: TaskRun) -> None:
        deadline_s = self._policy(task_run).deadline_s
        if deadline_s:
            at_us = task_run.first_started_us + int(deadline_s * 1e6)
            self._out.append(
                cmd.SetTimer(at_us, "deadline", task_run.task_id, task_run.path, task_run.generation)
            )

    def _deadline_text(self, task_run: TaskRun) -> str:
        deadline_s = self._policy(task_run).deadline_s
        return f"task {str(task_run.key)!r} passed its deadline of {deadline_s:g} s"

    def _policy(self, task_run: TaskRun) -> Policy:
        task = self.plan.nodes[task_run.position].task
        assert task is not None
        return task.policy

    def _is_teardown(self, task_run: TaskRun) -> bool:
        return self.plan.nodes[task_run.position].is_teardown

    # Ending the run

    def _end_early(self, ending: RunState, reason: str) -> None:
        """Start nothing but teardowns any more and stop what runs."""
        if self._ending is not None:
            return
        self._ending = ending
        self.reason = reason
        if self.state is not RunState.CANCELLING:
            self._move_run(RunState.CANCELLING)
            self._save_run()
            self._out.append(cmd.Record(ev.RunStateChanged(self._now_us, self.state.label)))
        self._close_waiting_groups()
        for task_run in list(self._all_task_runs()):
            if self._is_teardown(task_run):
                continue
            if task_run.state is RUNNING:
                if not task_run.cancel_reason:
                    task_run.cancel_reason = RUN_ENDING
                    self._out.append(cmd.CancelAttempt(task_run, reason))
            elif not task_run.state.is_terminal:
                if task_run.state is QUEUED:
                    self._out.append(cmd.Dequeue(task_run))
                self._end_without_attempt(task_run, TaskRunState.CANCELLED, reason)

    def _close_waiting_groups(self) -> None:
        for node in self.plan.nodes:
            if node.task is not None:
                continue
            root = self._roots[node.position]
            groups = [root] if root is not None else []
            groups.extend(self._nested.get(node.position, _NO_RUNS).values())
            for group in groups:
                if group.state is PENDING:
                    self._close_group(group, node, TaskRunState.CANCELLED, self.reason)

    def _all_task_runs(self) -> Iterator[TaskRun]:
        """Yield every task run, those that stand for an unknown number included."""
        for node in self.plan.nodes:
            if node.task is not None:
                root = self._roots[node.position]
                if root is not None:
                    yield root
                yield from self._nested.get(node.position, _NO_RUNS).values()
                yield from self._mapped.get(node.position, _NO_RUNS).values()

    def _end_deadlocked(self) -> None:
        waiting = [task_run for task_run in self._all_task_runs() if task_run.state is PENDING]
        names = ", ".join(str(task_run.key) for task_run in waiting[:3])
        self._ending = RunState.FAILED
        self.reason = f"deadlock: nothing can run, {len(waiting)} wait ({names})"
        self._close_waiting_groups()
        for task_run in waiting:
            self._end_without_attempt(task_run, TaskRunState.CANCELLED, "deadlock")
        self._todo.clear()
        self._end_run()

    def _end_run(self) -> None:
        state = self._ending
        if state is None:
            failed = self._failed_leaf()
            state = RunState.FAILED if failed else RunState.SUCCEEDED
            self.reason = f"task {failed!r} {self._how(failed)}" if failed else ""
        self._ending = state
        self._move_run(state)
        self.ended_us = self._now_us
        self._save_run()
        self._out.append(cmd.Record(ev.RunEnded(self._now_us, state.label, self.reason)))

    def _how(self, task_id: str) -> str:
        outcomes = self._outcomes[self.plan.positions[task_id]]
        return "failed" if outcomes & FAILED else "could not run: something upstream failed"

    def _failed_leaf(self) -> str:
        """Return the first task that fails the run, or an empty string.

        A leaf that could not run fails it only if something upstream failed that was not
        optional; so this is decided over the whole graph, when all outcomes are known.
        """
        bad = FAILED | UPSTREAM_FAILED
        if not any(outcomes & bad for outcomes in self._outcomes):
            return ""
        counts = [False] * len(self.plan.nodes)
        for position in self.plan.order:
            node, outcomes = self.plan.nodes[position], self._outcomes[position]
            if outcomes & FAILED and not node.may_fail:
                counts[position] = True
            elif outcomes & UPSTREAM_FAILED or node.task is None:
                above = node.upstream if node.task is None else self._with_groups(node)
                counts[position] = any(counts[upstream] for upstream, _ in above)
        leaves = (node for node in self.plan.nodes if node.is_leaf and node.task is not None)
        failed = [node for node in leaves if counts[node.position]]
        failed.sort(key=lambda node: not self._outcomes[node.position] & FAILED)
        return failed[0].id if failed else ""

    def _with_groups(self, node: PlanNode) -> list[tuple[int, int]]:
        return [*node.upstream, *((self.plan.positions[group], 0) for group in node.scope)]

    # Small steps

    def _move(self, task_run: TaskRun, state: TaskRunState) -> None:
        old = task_run.state
        if state not in TASK_RUN_TRANSITIONS[old]:
            message = f"{task_run!r} cannot become {state.label}"
            raise InternalError(message)
        task_run.state = state
        self._active += (state in _ACTIVE) - (old in _ACTIVE)
        if state >= TaskRunState.SUCCEEDED:
            self._live -= 1

    def _move_run(self, state: RunState) -> None:
        if state not in RUN_TRANSITIONS[self.state]:
            message = f"a {self.state.label} run cannot become {state.label}"
            raise InternalError(message)
        self.state = state

    def _save_run(self) -> None:
        self._out.append(cmd.SaveRun(self.state, self.reason))

    # Restoring and clearing

    def snapshot(self) -> list[TaskRunRecord]:
        """Return every task run that has left ``pending``, as it would be kept."""
        return [
            TaskRunRecord(
                t.task_id, t.path, t.state, t.attempt, t.generation, t.failures, t.losses,
                t.queued_us, t.first_started_us, t.started_us, t.ended_us, t.due_us,
                t.length, t.chosen, t.stop,
            )
            for t in self.task_runs()
            if t.state is not PENDING
        ]  # fmt: skip

    @classmethod
    def restore(
        cls,
        plan: Plan,
        *,
        state: RunState,
        reason: str,
        started_us: int,
        ended_us: int,
        generation: int,
        task_runs: Iterable[TaskRunRecord],
        expansions: dict[tuple[str, MapPath], tuple[int, ...]],
        at_us: int,
    ) -> "tuple[RunMachine, list[cmd.Command]]":
        """Build a run as it was kept.

        Args:
            plan: The compiled flow.
            state, reason, started_us, ended_us, generation: Of the run.
            task_runs: Every task run that has left ``pending``.
            expansions: Lengths of mapped tasks and groups by (id, path).
            at_us: Now, for timers that have passed.

        Returns:
            The machine, and the commands that put queued and waiting task runs back in place.
        """
        machine = cls(plan)
        machine._now_us = at_us
        machine.state = state
        machine.reason = reason
        machine.started_us = started_us
        machine.ended_us = ended_us
        machine.generation = generation
        if state is RunState.QUEUED:
            return machine, []
        if state.is_terminal:
            machine._ending = state
        elif state is RunState.CANCELLING:
            is_failing = not reason.startswith("cancelled")
            machine._ending = RunState.FAILED if is_failing else RunState.CANCELLED
        machine._fill(task_runs, expansions)
        timeout_s = plan.flow.timeout_s
        if timeout_s and not state.is_terminal:
            due_us = started_us + int(timeout_s * 1e6)
            machine._out.append(cmd.SetTimer(due_us, "run_timeout"))
        machine._settle_all()
        return machine, machine._out

    def _fill(
        self,
        task_runs: Iterable[TaskRunRecord],
        expansions: dict[tuple[str, MapPath], tuple[int, ...]],
    ) -> None:
        """Put records in place, in the order of the graph, then look at all that is pending."""
        by_task: dict[str, list[TaskRunRecord]] = {}
        for record in task_runs:
            by_task.setdefault(record.task_id, []).append(record)
            if record.state is PENDING or record.state is TaskRunState.REMOVED:
                self._generations[record.task_id, record.path] = record
        opened: dict[str, dict[MapPath, tuple[int, ...]]] = {}
        for (container, path), lengths in expansions.items():
            opened.setdefault(container, {})[path] = lengths
        self._is_restoring = True
        self._open_all()
        for position in self.plan.order:
            node = self.plan.nodes[position]
            for path, lengths in sorted(opened.get(node.id, {}).items()):
                stands_for = self.task_run(node.id, path)
                if stands_for is not None and stands_for.is_expanding:
                    self._reopen(stands_for, node, lengths)
            for record in sorted(by_task.get(node.id, ()), key=_path_of):
                self._put(record, node)
        self._is_restoring = False
        self._todo.clear()
        for task_run in list(self._all_task_runs()):
            if task_run.state is PENDING:
                if self._skip_marks and self._is_marked(task_run.position, task_run.path):
                    self._end_without_attempt(task_run, TaskRunState.SKIPPED, "not chosen")
                else:
                    self._todo.append(task_run)
            else:
                self._resume(task_run)
        self._todo.extend(self._pending_groups())

    def _reopen(self, task_run: TaskRun, node: PlanNode, lengths: tuple[int, ...]) -> None:
        self.expansions[node.id, task_run.path] = lengths
        width = prod(lengths)
        if width == 0:
            # What ended with it has records of its own.
            return
        if node.task is not None:
            self._open_task(task_run, node, width)
        else:
            self._open_group(task_run, node, width)

    def _put(self, record: TaskRunRecord, node: PlanNode) -> None:
        if record.state in (PENDING, TaskRunState.REMOVED):
            return
        task_run = self.task_run(record.task_id, record.path)
        if task_run is None:
            task_run = self._put_unopened(record, node)
            if task_run is None:
                return
        was_active = task_run.state in _ACTIVE
        task_run.state = record.state
        task_run.attempt = record.attempt
        task_run.generation = record.generation
        task_run.failures = record.failures
        task_run.losses = record.losses
        task_run.queued_us = record.queued_us
        task_run.first_started_us = record.first_started_us
        task_run.started_us = record.started_us
        task_run.ended_us = record.ended_us
        task_run.due_us = record.due_us
        task_run.length = record.length
        task_run.chosen = record.chosen
        task_run.stop = record.stop
        self._active += (record.state in _ACTIVE) - was_active
        if record.state.is_terminal:
            self._live -= 1
            if record.chosen is not None or record.stop:
                self._skip_downstream(task_run)
            self._tell_dependents(task_run, FLAG_OF_STATE[record.state])

    def _put_unopened(self, record: TaskRunRecord, node: PlanNode) -> TaskRun | None:
        """Put what ended inside a mapped group that never opened at this path."""
        if len(record.path) >= len(node.scope):
            return None
        group = self.task_run(node.scope[len(record.path)], record.path)
        if group is not None and group.state is PENDING:
            group.state = record.state
            self._live -= 1
        task_run = TaskRun(node.position, node.id, record.path, 0, 0)
        self._unopened[node.position, record.path] = task_run
        self._live += 1
        return task_run

    def _pending_groups(self) -> list[TaskRun]:
        groups: list[TaskRun] = []
        for node in self.plan.nodes:
            if node.task is None:
                root = self._roots[node.position]
                if root is not None and root.state is PENDING:
                    groups.append(root)
                nested = self._nested.get(node.position, _NO_RUNS).values()
                groups.extend(one for one in nested if one.state is PENDING)
        return groups

    def _resume(self, task_run: TaskRun) -> None:
        if task_run.state is QUEUED:
            self._out.append(cmd.Enqueue(task_run))
        elif task_run.state is RETRYING:
            self._set_timer("retry", task_run, task_run.due_us)
        elif task_run.state is DEFERRED:
            self._set_timer("deferral", task_run, task_run.due_us)
        if not task_run.state.is_terminal and task_run.first_started_us:
            self._set_deadline(task_run)

    def _cleared_by(self, keys: tuple[tuple[str, MapPath], ...]) -> "_Cleared":
        """Return what a clear takes with it: the named task runs and all that is downstream."""
        runs: dict[tuple[str, MapPath], TaskRun] = {}
        areas: set[tuple[int, MapPath]] = set()
        for task_id, path in keys:
            named = self.task_run(task_id, path)
            if named is None:
                continue
            runs[task_id, path] = named
            for target in self.plan.descendants(named.position):
                depth = min(self.plan.shared_depth(named.position, target), len(path))
                areas.add((target, path[:depth]))
        prefixes: dict[str, set[MapPath]] = {}
        for position, prefix in areas:
            prefixes.setdefault(self.plan.nodes[position].id, set()).add(prefix)
        for task_run in self.task_runs():
            if _is_below(task_run.path, prefixes.get(task_run.task_id)):
                runs[task_run.task_id, task_run.path] = task_run
        # Where a group never opened, its tasks ended together and come back together.
        for (position, path), stand_in in self._unopened.items():
            if (stand_in.task_id, path) in runs:
                for (other, other_path), sibling in self._unopened.items():
                    if other_path == path and self._share_group(position, other, len(path)):
                        runs[sibling.task_id, other_path] = sibling
        expansions = [key for key in self.expansions if _is_below(key[1], prefixes.get(key[0]))]
        return _Cleared(
            {key: one for key, one in runs.items() if one.state is not PENDING}, expansions
        )

    def _share_group(self, first: int, second: int, depth: int) -> bool:
        one, other = self.plan.nodes[first].scope, self.plan.nodes[second].scope
        return one[: depth + 1] == other[: depth + 1]


class _Cleared(NamedTuple):
    runs: dict[tuple[str, MapPath], TaskRun]
    expansions: list[tuple[str, MapPath]]


_NO_RUNS: dict[MapPath, TaskRun] = {}
_WITHOUT_TIMES = (ev.AttemptLost, ev.AttemptRevoked)


def _path_of(record: TaskRunRecord) -> MapPath:
    return record.path


def _is_below(path: MapPath, prefixes: set[MapPath] | None) -> bool:
    if not prefixes:
        return False
    return any(path[:size] in prefixes for size in range(len(path) + 1))


_HANDLERS: dict[type, Callable[..., None]] = {
    ev.RunStarted: RunMachine._on_run_started,
    ev.AttemptStarted: RunMachine._on_attempt_started,
    ev.AttemptSucceeded: RunMachine._on_attempt_succeeded,
    ev.AttemptSkipped: RunMachine._on_attempt_skipped,
    ev.AttemptFailed: RunMachine._on_attempt_failed,
    ev.AttemptLost: RunMachine._on_attempt_lost,
    ev.AttemptRevoked: RunMachine._on_attempt_revoked,
    ev.AttemptDeferred: RunMachine._on_attempt_deferred,
    ev.TimerFired: RunMachine._on_timer_fired,
    ev.CancelRequested: RunMachine._on_cancel_requested,
    ev.Recovered: RunMachine._on_recovered,
    ev.TaskRunsCleared: RunMachine._on_task_runs_cleared,
}


def replay(plan: Plan, inputs: Iterable[ev.Event]) -> RunMachine:
    """Build a run's state from its recorded events; facts are skipped.

    Args:
        plan: The compiled flow.
        inputs: Events of the run in the order of the log.
    """
    machine = RunMachine(plan)
    for event in inputs:
        if isinstance(event, ev.INPUT_TYPES):
            machine.apply(event)
    return machine


def lost_failure(task_id: str, losses: int) -> Failure:
    """Describe a task run whose attempts were lost more often than it allows."""
    return Failure(
        FailureKind.LOST,
        "LostAttempts",
        f"task {task_id!r}: its process ended under it {losses} times, more than lost_attempts allows",
    )
