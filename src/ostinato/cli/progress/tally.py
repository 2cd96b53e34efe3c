"""This module sums up a run from its events: plain data, changed by events alone."""

from collections.abc import Iterable, Mapping
from math import prod

from ostinato.client.views import TaskRunView
from ostinato.engine import events as ev
from ostinato.model.deferral import InputRequest
from ostinato.model.flow import FlowDefinition
from ostinato.model.identity import MapPath, TaskRunKey, parse_path
from ostinato.model.state import RunState, TaskRunState
from ostinato.model.step import BODY

_STATES = {state.label: state for state in TaskRunState}
_RUN_STATES = {state.label: state for state in RunState}


class TaskTally:
    """One task of a run.

    Attributes:
        counts: Task runs by state; those that are still pending are not counted.
        total: Task runs that it has; None while nobody knows.
        started_us, ended_us: First start and last end of an attempt, 0 while there is none.
        retries: Attempts that were followed by another one.
        cached: Task runs whose results were taken over from other runs.
        waits_for: What its last deferral is for, in words; empty where only time is waited for.
    """

    __slots__ = ("cached", "counts", "ended_us", "retries", "started_us", "total", "waits_for")

    def __init__(self, total: int | None) -> None:
        self.counts: dict[TaskRunState, int] = {}
        self.total = total
        self.started_us = 0
        self.ended_us = 0
        self.retries = 0
        self.cached = 0
        self.waits_for = ""

    def count(self, *states: TaskRunState) -> int:
        """Return how many task runs are in any of these states."""
        return sum(self.counts.get(state, 0) for state in states)

    @property
    def done(self) -> int:
        """How many task runs have ended."""
        return sum(number for state, number in self.counts.items() if state.is_terminal)

    @property
    def is_settled(self) -> bool:
        """Whether every task run has ended."""
        # One that ended before it was known how often it is mapped never will be mapped.
        return self.done >= (1 if self.total is None else self.total)

    @property
    def state(self) -> TaskRunState:
        """The state to show for all: the one that needs a look first."""
        for state in _BY_URGENCY:
            if self.counts.get(state):
                is_under_way = state in _FINE and not self.is_settled
                return TaskRunState.RUNNING if is_under_way else state
        return TaskRunState.PENDING


class StepTally:
    """The steps of one task, in a flow that is a function.

    Attributes:
        counts: Steps that have ended, by state.
        under_way: Steps that execute at this moment, as far as they are known, and since when.
        last: The step that was heard of last.
        took_us: How long that took.
        cached: How many results were taken over from other runs.
        heard: Grows with each event of any step: of two tasks, the larger is the later one.
    """

    __slots__ = ("cached", "counts", "heard", "last", "took_us", "under_way")

    def __init__(self) -> None:
        self.counts: dict[TaskRunState, int] = {}
        self.under_way: dict[MapPath, int] = {}
        self.last: MapPath = ()
        self.took_us = 0
        self.cached = 0
        self.heard = 0

    @property
    def done(self) -> int:
        """How many have ended."""
        return sum(self.counts.values())

    @property
    def state(self) -> TaskRunState:
        """The state to show for all."""
        if self.counts.get(TaskRunState.FAILED):
            return TaskRunState.FAILED
        if self.under_way:
            return TaskRunState.RUNNING
        return next(iter(self.counts), TaskRunState.PENDING)

    def end(self, state: TaskRunState) -> None:
        """Count a step that has ended."""
        self.counts[state] = self.counts.get(state, 0) + 1


#: What to show first of several states.
_BY_URGENCY = (
    TaskRunState.FAILED,
    TaskRunState.RETRYING,
    TaskRunState.RUNNING,
    TaskRunState.QUEUED,
    TaskRunState.DEFERRED,
    TaskRunState.UPSTREAM_FAILED,
    TaskRunState.CANCELLED,
    TaskRunState.SUCCEEDED,
    TaskRunState.SKIPPED,
    TaskRunState.REMOVED,
)
_FINE = frozenset({TaskRunState.SUCCEEDED, TaskRunState.SKIPPED})


class Tally:
    """A whole run.

    States are kept by task run and overwritten, so that an event which is seen twice, or
    after rows that already know of it, counts once.

    Args:
        flow: What runs.

    Attributes:
        tasks: By task id, in the order of the definition.
        state: Of the run.
        failures: How many attempts of a task run have failed.
        asked: What people are asked at this moment.
        steps: By task id, in the order in which they came.
    """

    def __init__(self, flow: FlowDefinition) -> None:
        containers = _containers(flow)
        self.tasks: dict[str, TaskTally] = {
            task.id: TaskTally(1 if not containers[task.id] else None) for task in flow.tasks
        }
        self.state = RunState.QUEUED
        self.failures: dict[TaskRunKey, int] = {}
        self.asked: dict[TaskRunKey, InputRequest] = {}
        self.steps: dict[str, StepTally] = {}
        self._heard = 0
        self._states: dict[TaskRunKey, TaskRunState] = {}
        self._measured_by: dict[str, list[str]] = {}
        for task_id, container in containers.items():
            if container:
                self._measured_by.setdefault(container, []).append(task_id)
        self._lengths: dict[str, dict[MapPath, int]] = {}

    @property
    def done(self) -> int:
        """How many task runs have ended."""
        return sum(task.done for task in self.tasks.values())

    @property
    def total(self) -> int:
        """How many task runs are known so far."""
        return sum(task.total or 0 for task in self.tasks.values())

    def seed(
        self, task_runs: Iterable[TaskRunView], lengths: Mapping[tuple[str, MapPath], int]
    ) -> None:
        """Begin with what is stored of a run that goes on.

        Args:
            task_runs: Its task runs.
            lengths: How wide its mapped tasks and groups are, by (id, path).
        """
        self._states.clear()
        self.failures.clear()
        for task in self.tasks.values():
            task.counts.clear()
        for (container, path), length in lengths.items():
            self._measure(container, path, length)
        self.steps.clear()
        for view in task_runs:
            if view.task_id not in self.tasks and view.state.is_terminal:
                self.steps.setdefault(view.task_id, StepTally()).end(view.state)
            key = TaskRunKey(view.task_id, parse_path(view.path))
            if view.task_id in self.tasks and view.state is not TaskRunState.PENDING:
                self._move(key, view.state)
                self.failures[key] = view.failures

    def apply(self, event: ev.Event) -> None:
        """Count an event."""
        match event:
            case ev.AttemptStarted():
                self.asked.pop(_key(event), None)
                self._move(_key(event), TaskRunState.RUNNING)
                task = self.tasks.get(event.task_id)
                if task is not None:
                    task.started_us = task.started_us or event.at_us
            case ev.AttemptSucceeded():
                self._end(event, TaskRunState.SUCCEEDED)
                if event.source and event.task_id in self.tasks:
                    self.tasks[event.task_id].cached += 1
            case ev.AttemptSkipped():
                self._end(event, TaskRunState.SKIPPED)
            case ev.AttemptFailed():
                # What follows says if it was not its last attempt.
                key = _key(event)
                self.failures[key] = self.failures.get(key, 0) + 1
                self._end(event, TaskRunState.FAILED)
            case ev.AttemptLost():
                self._end(event, TaskRunState.FAILED)
            case ev.AttemptRevoked() | ev.DeferralEnded():
                self._move(_key(event), TaskRunState.QUEUED)
            case ev.AttemptDeferred():
                if event.deferral is not None and event.deferral.request is not None:
                    self.asked[_key(event)] = event.deferral.request
                self._move(_key(event), TaskRunState.DEFERRED)
                task = self.tasks.get(event.task_id)
                if task is not None:
                    task.waits_for = event.deferral.what if event.deferral is not None else ""
            case ev.RetryScheduled():
                self._move(_key(event), TaskRunState.RETRYING)
                if event.task_id in self.tasks:
                    self.tasks[event.task_id].retries += 1
            case ev.TaskRunEnded():
                self._end(event, _STATES[event.state])
            case ev.Expanded():
                self._measure(event.container_id, event.path, prod(event.lengths))
            case ev.PauseBegan():
                self.asked[_key(event)] = event.request
            case ev.PauseEnded():
                self.asked.pop(_key(event), None)
            case ev.RunStarted():
                self.state = RunState.RUNNING
            case ev.RunStateChanged() | ev.RunEnded():
                self.state = _RUN_STATES[event.state]
            case ev.StepStarted():
                step = self._step(event)
                step.under_way[event.path] = event.at_us
            case ev.StepEnded():
                step = self._step(event)
                step.under_way.pop(event.path, None)
                step.took_us = event.at_us - event.started_us
                state = _STATES[event.state]
                step.cached += state is TaskRunState.SUCCEEDED and bool(event.summary)
                step.end(state)
            case ev.CancelRequested() | ev.Recovered() | ev.TaskRunsCleared() | ev.TimerFired():
                return
            case ev.DeadlineMissed() | ev.PastSettled() | ev.AttemptProgressed():
                return
            case ev.CodeChanged() | ev.RunRefused():
                return

    def _forget_steps(self, task_id: str) -> None:
        """Forget the steps that execute: the body has ended, and they with it."""
        for step in self.steps.values() if task_id == BODY else ():
            step.under_way.clear()

    def _step(self, event: ev.StepStarted | ev.StepEnded) -> StepTally:
        step = self.steps.setdefault(event.task_id, StepTally())
        self._heard += 1
        step.heard, step.last = self._heard, event.path
        return step

    def _end(
        self,
        event: ev.AttemptSucceeded
        | ev.AttemptSkipped
        | ev.AttemptFailed
        | ev.AttemptLost
        | ev.TaskRunEnded,
        state: TaskRunState,
    ) -> None:
        self._move(_key(event), state)
        if self.steps:
            self._forget_steps(event.task_id)
        task = self.tasks.get(event.task_id)
        if task is not None:
            task.ended_us = max(task.ended_us, event.at_us)

    def _move(self, key: TaskRunKey, state: TaskRunState) -> None:
        task = self.tasks.get(key.task_id)
        if task is None:
            return
        before = self._states.get(key)
        if before is state:
            return
        counts = task.counts
        if before is not None:
            counts[before] -= 1
            if not counts[before]:
                del counts[before]
        self._states[key] = state
        counts[state] = counts.get(state, 0) + 1

    def _measure(self, container: str, path: MapPath, length: int) -> None:
        self._lengths.setdefault(container, {})[path] = length
        for task_id in self._measured_by.get(container, ()):
            self.tasks[task_id].total = sum(self._lengths[container].values())


def _key(
    event: ev.AttemptStarted
    | ev.AttemptSucceeded
    | ev.AttemptSkipped
    | ev.AttemptFailed
    | ev.AttemptLost
    | ev.AttemptRevoked
    | ev.AttemptDeferred
    | ev.DeferralEnded
    | ev.PauseBegan
    | ev.PauseEnded
    | ev.RetryScheduled
    | ev.TaskRunEnded,
) -> TaskRunKey:
    return TaskRunKey(event.task_id, event.path)


def _containers(flow: FlowDefinition) -> dict[str, str]:
    """Return for each task the mapped task or group whose length says how often it runs."""
    around: dict[str, str] = {"": ""}
    for group in flow.groups:
        around[group.id] = group.id if group.expansion is not None else around[group.parent]
    return {
        task.id: task.id if task.expansion is not None else around[task.group]
        for task in flow.tasks
    }
