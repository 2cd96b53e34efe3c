"""This module puts a run's task runs back as they were kept, and clears some of them away."""

from collections.abc import Iterable
from itertools import chain
from math import prod
from typing import NamedTuple

from ostinato.engine import commands as cmd
from ostinato.engine.clearing import Clearing, covers
from ostinato.engine.plan import PlanNode
from ostinato.engine.run_graph import ACTIVE, DEFERRED, NO_RUNS, PENDING, QUEUED, RETRYING, RunGraph
from ostinato.engine.task_run import TaskRun, TaskRunRecord
from ostinato.engine.trigger_rules import FLAG_OF_STATE, Decision
from ostinato.model.identity import MapPath
from ostinato.model.state import TaskRunState


class Cleared(NamedTuple):
    """What a clear takes with it: task runs by key, and the expansions that are forgotten."""

    runs: dict[tuple[str, MapPath], TaskRun]
    expansions: list[tuple[str, MapPath]]


class KeptGraph(RunGraph):
    """A graph that can be written down and put back."""

    def snapshot(self) -> list[TaskRunRecord]:
        """Return every task run that has left ``pending``, as it would be kept."""
        return [
            TaskRunRecord(
                t.task_id, t.path, t.state, t.attempt, t.generation, t.failures, t.losses,
                t.queued_us, t.first_started_us, t.started_us, t.ended_us, t.due_us,
                t.length, t.chosen, t.stop, t.deferral, t.resumption,
            )
            for t in self.task_runs()
            if t.state is not PENDING
        ]  # fmt: skip

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
            if task_run.state is QUEUED and self._awaits_setups(task_run):
                task_run.state = PENDING
                self._active -= 1
            if task_run.state is PENDING:
                if self._skip_marks and self._is_marked(task_run.position, task_run.path):
                    self._end_without_attempt(task_run, TaskRunState.SKIPPED, "not chosen")
                else:
                    self._todo.append(task_run)
            else:
                self._resume(task_run)
        self._todo.extend(self._pending_groups())

    def _awaits_setups(self, task_run: TaskRun) -> bool:
        """Whether an index was cleared and so were setups around it, which come first."""
        node = self.plan.nodes[task_run.position]
        return (
            bool(node.guards)
            and self.is_index(task_run)
            and self._follow_setups(node, task_run.path) is not Decision.RUN
        )

    def _reopen(self, task_run: TaskRun, node: PlanNode, lengths: tuple[int, ...]) -> None:
        self.expansions[node.id, task_run.path] = lengths
        width = prod(lengths)
        if width == 0:
            # What ended with it has records of its own; an empty group has none.
            if node.task is None and not node.subtree:
                task_run.state = TaskRunState.SKIPPED
                self._live -= 1
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
        was_active = task_run.state in ACTIVE
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
        task_run.deferral = record.deferral
        task_run.resumption = record.resumption
        self._active += (record.state in ACTIVE) - was_active
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
                nested = self._nested.get(node.position, NO_RUNS).values()
                groups.extend(one for one in nested if one.state is PENDING)
        return groups

    def _resume(self, task_run: TaskRun) -> None:
        if task_run.state is QUEUED:
            self._out.append(cmd.Enqueue(task_run))
        elif task_run.state is RETRYING:
            self._set_timer("retry", task_run, task_run.due_us)
        elif task_run.state is DEFERRED and task_run.due_us:
            self._set_timer("deferral", task_run, task_run.due_us)
        elif task_run.awaits_past:
            self._out.append(cmd.AskPast(task_run))
        if not task_run.state.is_terminal and task_run.first_started_us:
            self._set_deadline(task_run)

    def _set_timer(self, kind: str, task_run: TaskRun, at_us: int) -> None:
        self._out.append(
            cmd.SetTimer(at_us, kind, task_run.task_id, task_run.path, task_run.attempt)
        )

    def _set_deadline(self, task_run: TaskRun) -> None:
        deadline_s = self._policy(task_run).deadline_s
        if deadline_s:
            at_us = task_run.first_started_us + int(deadline_s * 1e6)
            self._out.append(
                cmd.SetTimer(
                    at_us, "deadline", task_run.task_id, task_run.path, task_run.generation
                )
            )

    def _cleared_by(
        self, keys: Iterable[tuple[str, MapPath]], alone: Iterable[tuple[str, MapPath]]
    ) -> Cleared:
        """Return what a clear takes with it.

        Args:
            keys: Task ids, each with the indices, or the first of them, of what is cleared.
            alone: The same, of which what depends on it stays as it is; see ``Clearing``.
        """
        clearing = Clearing(self.plan)
        for group, is_alone in ((keys, False), (alone, True)):
            for task_id, path in group:
                if task_id in self.plan.positions:
                    clearing.take(self.plan.positions[task_id], path, is_alone=is_alone)
        self._clear_unopened_together(clearing)
        positions = self.plan.positions
        return Cleared(
            {
                (one.task_id, one.path): one
                for one in self.task_runs()
                if one.state is not PENDING and (one.position, one.path) in clearing
            },
            [
                (name, path)
                for name, path in self.expansions
                if covers(clearing.forgotten, positions[name], path)
            ],
        )

    def _clear_unopened_together(self, clearing: Clearing) -> None:
        """Where a group never opened, its tasks ended together and come back together."""
        groups: dict[tuple[tuple[str, ...], MapPath], list[tuple[int, MapPath]]] = {}
        for position, path in self._unopened:
            scope = self.plan.nodes[position].scope[: len(path) + 1]
            groups.setdefault((scope, path), []).append((position, path))
        left = list(groups.values())
        while together := [places for places in left if any(map(clearing.__contains__, places))]:
            left = [places for places in left if places not in together]
            for position, path in chain.from_iterable(together):
                clearing.take(position, path)

    def _gone(self, record: TaskRunRecord) -> TaskRun:
        """Stand for a task run whose expansion was cleared away: removed until it comes again."""
        task_run = TaskRun(self.plan.positions[record.task_id], record.task_id, record.path, 0, 0)
        task_run.state = TaskRunState.REMOVED
        task_run.attempt = record.attempt
        task_run.generation = record.generation
        return task_run


def _path_of(record: TaskRunRecord) -> MapPath:
    return record.path
