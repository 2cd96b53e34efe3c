"""This module is the state of a run and the rules by which events change it.

``RunMachine.apply`` takes an event and returns commands; it reads no clock, does no I/O and
draws no chance. The machine is changed in place, in time proportional to the edges that
change; if a commit fails it is thrown away and restored from the store.
"""

from collections.abc import Callable, Iterable, Mapping

from ostinato.engine import commands as cmd
from ostinato.engine import events as ev
from ostinato.engine.kept_graph import KeptGraph
from ostinato.engine.plan import Plan, PlanNode
from ostinato.engine.retry import retry_delay_s
from ostinato.engine.run_graph import ACTIVE, DEFERRED, NO_RUNS, PENDING, QUEUED, RETRYING, RUNNING
from ostinato.engine.task_run import TaskRun, TaskRunRecord
from ostinato.engine.transitions import RUN_TRANSITIONS
from ostinato.engine.trigger_rules import FAILED, FLAG_OF_STATE, UPSTREAM_FAILED
from ostinato.errors import InternalError
from ostinato.model.deferral import Deferral, Outcome, Resumption
from ostinato.model.failure import Failure, FailureKind
from ostinato.model.identity import MapPath
from ostinato.model.notice import Moment
from ostinato.model.state import RunState, TaskRunState
from ostinato.model.step import BODY

DEADLINE = "deadline"
RUN_ENDING = "run ending"

#: Kind of the timer of the run's own deadline.
RUN_DEADLINE = "run_deadline"

#: Stands for the run in ``RunMachine.watched``.
THE_RUN = -1

_MOMENTS = {
    TaskRunState.SUCCEEDED: Moment.SUCCESS,
    TaskRunState.FAILED: Moment.FAILURE,
    TaskRunState.SKIPPED: Moment.SKIP,
}
_RUN_MOMENTS = {
    RunState.SUCCEEDED: Moment.RUN_SUCCESS,
    RunState.FAILED: Moment.RUN_FAILURE,
    RunState.CANCELLED: Moment.RUN_CANCEL,
}
_UNWATCHED: frozenset[Moment] = frozenset()


class RunMachine(KeptGraph):
    """One run, changed by events alone.

    Args:
        plan: The compiled flow.

    Attributes:
        state: Where the run stands.
        reason: Why it ended as it did, or is ending; empty for a success.
        started_us, ended_us: Moments, 0 while they have not come.
        generation: How often parts of it were cleared.
        watched: Moments that somebody wants to be told of, by the task's position, ``THE_RUN``
            for those of the run; set by whoever tells them.
    """

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.state = RunState.QUEUED
        self.reason = ""
        self.started_us = 0
        self.ended_us = 0
        self.generation = 0
        self.watched: Mapping[int, frozenset[Moment]] = {}
        #: What the run ends as, once its running attempts have reported; None while it goes on.
        self._ending: RunState | None = None
        #: Steps for which the body of a function flow waits, in its process, for people.
        self._pausing: set[tuple[str, MapPath]] = set()

    @property
    def is_terminal(self) -> bool:
        """Whether the run has ended."""
        return self.state.is_terminal

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
        self._set_run_limits()

    def _set_run_limits(self) -> None:
        timeout_s = self.plan.flow.timeout_s
        if timeout_s:
            due_us = self.started_us + int(timeout_s * 1e6)
            # The generation makes it void after a clear, which sets another.
            self._out.append(cmd.SetTimer(due_us, "run_timeout", attempt=self.generation))
        deadline_s = self.plan.flow.deadline_s
        if deadline_s:
            due_us = self.started_us + int(deadline_s * 1e6)
            self._out.append(cmd.SetTimer(due_us, RUN_DEADLINE, attempt=self.generation))

    def _on_attempt_started(self, event: ev.AttemptStarted) -> None:
        task_run = self.task_run(event.task_id, event.path)
        if (
            task_run is None
            or task_run.state is not QUEUED
            or event.attempt != task_run.attempt + 1
        ):
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
            if self.watched:
                self._notify(Moment.START, task_run)
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
        # A retry executes the task from its start.
        task_run.resumption = None
        if task_run.cancel_reason == RUN_ENDING and event.failure.kind is FailureKind.CANCELLED:
            self._finish(task_run, TaskRunState.CANCELLED)
            return
        delay_s = None
        is_over = self._ending is not None and not self._is_teardown(task_run)
        if not is_over and not task_run.cancel_reason:
            delay_s = retry_delay_s(self._policy(task_run), task_run.failures, event)
        if delay_s is None:
            self._finish(task_run, TaskRunState.FAILED)
        else:
            self._retry(task_run, delay_s, "failed")
            if self.watched:
                self._notify(Moment.RETRY, task_run)

    def _on_attempt_lost(self, event: ev.AttemptLost) -> None:
        task_run = self._reported(event)
        if task_run is not None:
            self._lose(task_run)
            if self.watched and not task_run.state.is_terminal:
                self._notify(Moment.RETRY, task_run)

    def _on_attempt_progressed(self, event: ev.AttemptProgressed) -> None:
        task_run = self.task_run(event.task_id, event.path)
        if task_run is not None and task_run.state is RUNNING and task_run.losses:
            task_run.losses = 0
            self._out.append(cmd.SaveTaskRun(task_run))

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
        if task_run.cancel_reason == DEADLINE:
            self._finish(task_run, TaskRunState.FAILED)
            return
        task_run.due_us = event.until_us
        task_run.deferral = event.deferral
        task_run.resumption = None
        self._move(task_run, DEFERRED)
        self._out.append(cmd.SaveTaskRun(task_run))
        deferral = event.deferral
        if task_run.task_id == BODY and deferral is not None and deferral.request is not None:
            self._pause(RunState.RUNNING, RunState.PAUSED)
        if event.until_us:
            self._set_timer("deferral", task_run, event.until_us)

    def _on_deferral_ended(self, event: ev.DeferralEnded) -> None:
        task_run = self.task_run(event.task_id, event.path)
        if (
            task_run is not None
            and task_run.state is DEFERRED
            and task_run.deferral is not None
            and task_run.attempt == event.attempt
        ):
            self._go_on(task_run, event.resumption)

    def _go_on(self, task_run: TaskRun, resumption: Resumption | None) -> None:
        """Queue a task run whose wait is over."""
        task_run.deferral = None
        task_run.resumption = resumption
        task_run.due_us = 0
        self._pause(RunState.PAUSED, RunState.RUNNING)
        self._enqueue(task_run)

    def _on_pause_began(self, event: ev.PauseBegan) -> None:
        self._pausing.add((event.task_id, event.path))
        self._pause(RunState.RUNNING, RunState.PAUSED)
        # The event is kept, though the run be paused already.
        self._save_run()

    def _on_pause_ended(self, event: ev.PauseEnded) -> None:
        self._pausing.discard((event.task_id, event.path))
        if not self._pausing:
            self._pause(RunState.PAUSED, RunState.RUNNING)
        self._save_run()

    def _pause(self, before: RunState, after: RunState) -> None:
        """Pause the run, or let it go on, unless it is in another state."""
        if self.state is before:
            self._move_run(after)
            self._save_run()
            self._out.append(cmd.Record(ev.RunStateChanged(self._now_us, after.label)))

    def _on_past_settled(self, event: ev.PastSettled) -> None:
        task_run = self.task_run(event.task_id, event.path)
        if task_run is None or not task_run.awaits_past:
            return
        if event.is_good:
            self._let_in(task_run)
        else:
            self._end_without_attempt(task_run, TaskRunState.UPSTREAM_FAILED, event.reason)

    def _on_timer_fired(self, event: ev.TimerFired) -> None:
        if event.kind == "run_timeout":
            if self._ending is None and event.attempt == self.generation:
                seconds = self.plan.flow.timeout_s
                self._end_early(RunState.FAILED, f"timeout: it ran longer than {seconds:g} s")
            return
        if event.kind == RUN_DEADLINE:
            self._pass_run_deadline(event)
            return
        task_run = self.task_run(event.task_id, event.path)
        if task_run is None:
            return
        if event.kind == "deadline":
            self._pass_deadline(task_run, event)
        elif task_run.attempt == event.attempt and task_run.state is RETRYING:
            self._enqueue(task_run)
        elif task_run.attempt == event.attempt and task_run.state is DEFERRED:
            self._go_on(task_run, _after_wait(task_run.deferral))

    def _pass_deadline(self, task_run: TaskRun, event: ev.TimerFired) -> None:
        # The timer carries the generation in ``attempt``: a clear makes it void.
        if task_run.generation != event.attempt:
            return
        if task_run.state is RUNNING:
            if not task_run.cancel_reason:
                task_run.cancel_reason = DEADLINE
                self._out.append(cmd.CancelAttempt(task_run, self._deadline_text(task_run)))
        elif task_run.state in ACTIVE:
            if task_run.state is QUEUED:
                self._out.append(cmd.Dequeue(task_run))
            self._finish(task_run, TaskRunState.FAILED, self._deadline_text(task_run))

    def _pass_run_deadline(self, event: ev.TimerFired) -> None:
        if self.is_terminal or event.attempt != self.generation:
            return
        deadline_s = self.plan.flow.deadline_s
        self._out.append(cmd.Record(ev.DeadlineMissed(event.at_us, deadline_s)))
        self._notify(Moment.DEADLINE)

    def _on_cancel_requested(self, event: ev.CancelRequested) -> None:
        if self.is_terminal:
            return
        reason = f"cancelled by {event.by}" if event.by else "cancelled"
        if self.state is RunState.QUEUED:
            self._move_run(RunState.RUNNING)
            self.started_us = event.at_us
            self._open_all()
        self._end_early(RunState.CANCELLED, reason)

    def _on_run_refused(self, event: ev.RunRefused) -> None:
        if self.is_terminal:
            return
        if self.state is RunState.QUEUED:
            self._move_run(RunState.RUNNING)
            self.started_us = event.at_us
            self._open_all()
        self._end_early(RunState.FAILED, event.reason)
        for task_run in list(self._all_task_runs()):
            # Teardowns, and what ran when a run was refused that is being cancelled.
            if not task_run.state.is_terminal and task_run.state is not RUNNING:
                if task_run.state is QUEUED:
                    self._out.append(cmd.Dequeue(task_run))
                self._end_without_attempt(task_run, TaskRunState.CANCELLED, event.reason)

    def would_clear(
        self, keys: Iterable[tuple[str, MapPath]], alone: Iterable[tuple[str, MapPath]] = ()
    ) -> list[TaskRun]:
        """Return what ``TaskRunsCleared`` would have executed again.

        Args:
            keys: As in the event.
            alone: As in the event.
        """
        return list(self._cleared_by(keys, alone).runs.values())

    def _on_recovered(self, event: ev.Recovered) -> None:
        for task_run in list(self.task_runs()):
            if task_run.state is RUNNING:
                task_run.ended_us = event.at_us
                # That it was told to stop is not kept; its deadline comes again.
                task_run.cancel_reason = ""
                # A run that was interrupted by hand is no fault of the tasks in it.
                task_run.losses -= not event.is_counted
                # A body that paused asks again.
                self._pausing.clear()
                self._pause(RunState.PAUSED, RunState.RUNNING)
                self._lose(task_run)

    def _on_task_runs_cleared(self, event: ev.TaskRunsCleared) -> None:
        cleared = self._cleared_by(event.keys, event.alone)
        # What an earlier clear took away keeps its numbers until it comes again.
        records = self._generations | {(r.task_id, r.path): r for r in self.snapshot()}
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
        out, generation = self._out, self.generation
        self._reset()
        self._out = out
        self._ending = None
        self.reason = ""
        # A timeout of the run counts anew.
        self.started_us, self.ended_us, self.generation = event.at_us, 0, generation + 1
        self._move_run(RunState.RUNNING)
        self._save_run()
        self._out.append(cmd.Record(ev.RunStateChanged(event.at_us, RunState.RUNNING.label)))
        self._fill(records.values(), expansions)
        self._set_run_limits()
        for key in cleared.runs:
            task_run = self.task_run(*key) or self._gone(records[key])
            self._out.append(cmd.SaveTaskRun(task_run))

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

    def _finish(self, task_run: TaskRun, state: TaskRunState, reason: str = "") -> None:
        """End a task run that had an attempt."""
        self._move(task_run, state)
        task_run.cancel_reason = ""
        task_run.deferral = task_run.resumption = None
        self._out.append(cmd.SaveTaskRun(task_run))
        if reason or state is TaskRunState.CANCELLED:
            self._record_end(task_run, reason)
        if self.watched and state in _MOMENTS:
            self._notify(_MOMENTS[state], task_run)
        self._tell_dependents(task_run, FLAG_OF_STATE[state])
        node = self.plan.nodes[task_run.position]
        if state is TaskRunState.FAILED and node.is_critical and self._ending is None:
            self._end_early(RunState.FAILED, f"critical task {task_run.key} failed")

    def _notify(self, moment: Moment, task_run: TaskRun | None = None) -> None:
        position = THE_RUN if task_run is None else task_run.position
        if moment in self.watched.get(position, _UNWATCHED):
            self._out.append(cmd.Notify(moment, task_run))

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

    def _deadline_text(self, task_run: TaskRun) -> str:
        deadline_s = self._policy(task_run).deadline_s
        return f"task {str(task_run.key)!r} passed its deadline of {deadline_s:g} s"

    # Ending the run

    def _end_early(self, ending: RunState, reason: str) -> None:
        """Start nothing but teardowns any more and stop what runs."""
        if self._ending is not None:
            return
        self._ending = ending
        self.reason = reason
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
            groups.extend(self._nested.get(node.position, NO_RUNS).values())
            for group in groups:
                if group.state is PENDING:
                    self._close_group(group, node, TaskRunState.CANCELLED, self.reason)

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
            self.reason = self._why_failed()
            state = RunState.FAILED if self.reason else RunState.SUCCEEDED
        self._ending = state
        self._move_run(state)
        self.ended_us = self._now_us
        self._save_run()
        self._out.append(cmd.Record(ev.RunEnded(self._now_us, state.label, self.reason)))
        self._notify(_RUN_MOMENTS[state])

    def _why_failed(self) -> str:
        """Return why the tasks fail the run, or an empty string.

        A leaf that could not run fails it only if something upstream failed that was not
        optional; so this is decided over the whole graph, when all outcomes are known.
        """
        bad = FAILED | UPSTREAM_FAILED
        if not any(outcomes & bad for outcomes in self._outcomes):
            return ""
        counts = [False] * len(self.plan.nodes)
        for position in self._stopped_by_the_past():
            counts[position] = not self.plan.nodes[position].may_fail
        for position in self.plan.order:
            node, outcomes = self.plan.nodes[position], self._outcomes[position]
            if outcomes & FAILED and not node.may_fail:
                counts[position] = True
            elif not counts[position] and (outcomes & UPSTREAM_FAILED or node.task is None):
                above = node.upstream if node.task is None else self._with_groups(node)
                counts[position] = any(counts[upstream] for upstream, _ in above)
        counted = [n for n in self.plan.nodes if counts[n.position] and n.task is not None]
        leaves = [node for node in counted if node.is_leaf]
        if not leaves:
            return ""
        failed = [node for node in counted if self._outcomes[node.position] & FAILED]
        failed = [node for node in failed if node.is_leaf or not node.is_teardown]
        if not any(node.is_leaf for node in failed):
            return f"task {leaves[0].id!r} could not run: something upstream failed"
        # What fails the run by itself is named first.
        failed.sort(key=lambda node: not node.is_leaf)
        return _who_failed([node.id for node in failed])

    def _stopped_by_the_past(self) -> set[int]:
        """Return what was ready and then could not run because of an earlier run."""
        return {
            task_run.position
            for node in self.plan.nodes
            if node.asks_past
            for task_run in self.runs_of(node.id)
            if task_run.state is TaskRunState.UPSTREAM_FAILED and task_run.queued_us
        }

    def _with_groups(self, node: PlanNode) -> list[tuple[int, int]]:
        return [
            *node.upstream,
            *node.guards,
            *((self.plan.positions[group], 0) for group in node.scope),
        ]

    def _move_run(self, state: RunState) -> None:
        if state not in RUN_TRANSITIONS[self.state]:
            message = f"a {self.state.label} run cannot become {state.label}"
            raise InternalError(message)
        self.state = state

    def _save_run(self) -> None:
        self._out.append(cmd.SaveRun(self.state, self.reason))

    # Restoring

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
            state: Of the run.
            reason: Of the run.
            started_us: Of the run.
            ended_us: Of the run.
            generation: Of the run.
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
        if not state.is_terminal:
            machine._set_run_limits()
        machine._settle_all()
        return machine, machine._out


_WITHOUT_TIMES = (ev.AttemptLost, ev.AttemptRevoked)

_HANDLERS: dict[type, Callable[..., None]] = {
    ev.RunStarted: RunMachine._on_run_started,
    ev.AttemptStarted: RunMachine._on_attempt_started,
    ev.AttemptSucceeded: RunMachine._on_attempt_succeeded,
    ev.AttemptSkipped: RunMachine._on_attempt_skipped,
    ev.AttemptFailed: RunMachine._on_attempt_failed,
    ev.AttemptLost: RunMachine._on_attempt_lost,
    ev.AttemptProgressed: RunMachine._on_attempt_progressed,
    ev.AttemptRevoked: RunMachine._on_attempt_revoked,
    ev.AttemptDeferred: RunMachine._on_attempt_deferred,
    ev.DeferralEnded: RunMachine._on_deferral_ended,
    ev.PastSettled: RunMachine._on_past_settled,
    ev.TimerFired: RunMachine._on_timer_fired,
    ev.CancelRequested: RunMachine._on_cancel_requested,
    ev.RunRefused: RunMachine._on_run_refused,
    ev.PauseBegan: RunMachine._on_pause_began,
    ev.PauseEnded: RunMachine._on_pause_ended,
    ev.Recovered: RunMachine._on_recovered,
    ev.TaskRunsCleared: RunMachine._on_task_runs_cleared,
}


def _after_wait(deferral: Deferral | None) -> Resumption | None:
    """Return what an attempt goes on with once the moment of its deferral has come."""
    if deferral is None:
        return None
    is_late = deferral.trigger is not None or deferral.request is not None
    return Resumption(deferral.method, Outcome.TIMEOUT if is_late else Outcome.EVENT)


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
        f"task {task_id!r}: its process ended under it {losses} times, "
        "more than lost_attempts allows",
    )


def _who_failed(names: list[str]) -> str:
    """Return a sentence that names the first of some failed tasks, and counts the others."""
    if len(names) == 1:
        return f"task {names[0]!r} failed"
    if len(names) == 2:
        return f"tasks {names[0]!r} and {names[1]!r} failed"
    return f"tasks {names[0]!r}, {names[1]!r} and {len(names) - 2} more failed"
