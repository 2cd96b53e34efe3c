"""This module answers what attempts and triggers ask about the states of other runs."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from ostinato.clock import Clock
from ostinato.coordinator.live_run import LiveRun
from ostinato.coordinator.pauses import Timekeeper
from ostinato.coordinator.registry import Registry
from ostinato.engine.commands import SetTimer
from ostinato.engine.task_run import TaskRun
from ostinato.errors import RunNotFound, UnknownFlow, UnknownTask
from ostinato.executors.protocol import Later
from ostinato.model.flow import FlowDefinition, TaskDefinition
from ostinato.model.identity import RunId
from ostinato.model.manifest import decode_manifest
from ostinato.model.state import TaskRunState
from ostinato.store.protocol import Store
from ostinato.store.records import CoordinatorLease, RunRow

#: Kind of the timers of those who wait for a run; engines know nothing of it.
TIMER = "await"

#: Drives the second run for the first, which waits for it.
TakeUp = Callable[[RunRow, RunRow], bool]

#: What is said of a task that has not begun.
PENDING = TaskRunState.PENDING.label


class OtherRuns:
    """Answer the calls about runs by what is committed of them.

    Args:
        store: Where the runs lie.
        lease: Of the coordinator that answers; None where nothing is driven.
        timers: Tell when somebody has waited long enough.
        clock: The time.
        take_up: Drives a run that the first one waits for, if nobody else does, and says so.
    """

    def __init__(
        self,
        store: Store,
        lease: CoordinatorLease | None = None,
        timers: Timekeeper | None = None,
        clock: Clock | None = None,
        take_up: TakeUp | None = None,
    ) -> None:
        self._store = store
        self._lease = lease
        self._take_up = take_up
        #: Who waits for the end of a run that is driven here.
        self._waiting: dict[int, list[Later]] = {}
        self._timers = timers
        self._clock = clock
        #: Those who wait until a moment, and for which run, by the number of their timer.
        self._until: dict[int, tuple[RunId, Later]] = {}
        self._count = 0
        self._flows: dict[tuple[str, str], FlowDefinition | None] = {}
        #: By method; each takes the run, the task run and the call's arguments by name.
        self.answers: Mapping[str, Callable[..., Any]] = {
            "run_state": self._run_state,
            "states_elsewhere": self._states,
        }

    def register(self, registry: Registry) -> None:
        """Answer calls and timers of a coordinator, and be told of runs that end."""
        registry.calls |= self.answers
        registry.timers[TIMER] = lambda _, timer: self.time_over(timer)
        registry.run_ended.append(lambda run: self.run_ended(run.row.id))
        registry.looked.append(self._look)

    def _run_state(
        self,
        run: LiveRun,
        _task_run: TaskRun,
        *,
        run_id: str,
        is_waiting: bool = False,
        timeout_s: float | None = None,
    ) -> dict[str, Any] | Later:
        row = self._store.find_run(run_id)
        if row is None:
            raise RunNotFound(f"there is no run {run_id}")
        is_awaited = is_waiting and not row.state.is_terminal
        if is_awaited and self._is_driven(run, row):
            later = Later(_nothing)
            self._waiting.setdefault(row.id, []).append(later)
            if timeout_s is not None:
                self._limit(run, row.id, later, timeout_s)
            return later
        return self._known(row)

    def _is_driven(self, asking: LiveRun, row: RunRow) -> bool:
        if self._lease is not None and row.owner == self._lease.id:
            return True
        # Who started it was killed, and its replay knows the run but does not start it again.
        return self._take_up is not None and self._take_up(asking.row, row)

    def _limit(self, run: LiveRun, awaited: RunId, later: Later, timeout_s: float) -> None:
        assert self._timers is not None, "a coordinator has timers"
        assert self._clock is not None, "a coordinator has a clock"
        self._count += 1
        self._until[self._count] = (awaited, later)
        until_us = self._clock.now_us() + int(timeout_s * 1e6)
        self._timers.add(run.id, SetTimer(until_us, TIMER, attempt=self._count))

    def time_over(self, timer: SetTimer) -> None:
        """Tell who has waited long enough how the run goes."""
        run_id, later = self._until.pop(timer.attempt)
        row = self._store.run(run_id)
        if not later.is_done and row is not None:
            self._waiting[run_id].remove(later)
            later.settle(self._known(row))

    def run_ended(self, run_id: RunId) -> None:
        """Tell those who wait for a run that it has ended."""
        waiting = self._waiting.pop(run_id, None)
        row = self._store.run(run_id) if waiting else None
        if waiting and row is not None:
            for later in waiting:
                later.settle(self._known(row))

    def _look(self) -> None:
        """Look whether runs have ended that are awaited here and driven elsewhere."""
        for run_id in list(self._waiting):
            row = self._store.run(RunId(run_id))
            if row is None or row.state.is_terminal:
                self.run_ended(RunId(run_id))

    def _known(self, row: RunRow) -> dict[str, Any]:
        return {
            "name": f"{row.flow}#{row.number}",
            "state": row.state.label,
            "is_over": row.state.is_terminal,
            "reason": row.reason,
            "run_name": row.name,
        }

    def _states(
        self,
        run: LiveRun,
        _task_run: TaskRun,
        *,
        flow: str,
        dates_us: Sequence[int],
        task_ids: Sequence[str],
        group: str,
        must_exist: bool,
    ) -> list[list[str]]:
        if must_exist:
            self._check(run.row, flow, task_ids, group)
        found = [self._run_at(run.row, flow, date_us) for date_us in dates_us]
        return [[] if row is None else self._states_in(row, task_ids, group) for row in found]

    def _run_at(self, own: RunRow, flow: str, date_us: int) -> RunRow | None:
        """Return the newest run of a flow with a logical date."""
        after = msgspec.structs.replace(own, flow=flow, logical_date_us=date_us + 1)
        rows = self._store.runs_before(after, limit=1)
        return rows[0] if rows and rows[0].logical_date_us == date_us else None

    def _states_in(self, row: RunRow, task_ids: Sequence[str], group: str) -> list[str]:
        if not task_ids and not group:
            return [row.state.label]
        flow = self._flow(row)
        tasks = {task.id: task for task in flow.tasks} if flow is not None else {}
        wanted = [*task_ids]
        if group and flow is not None:
            wanted += [task.id for task in flow.tasks if _is_within(task, group, flow)]
        return [state for task_id in wanted for state in self._task_states(row, tasks.get(task_id))]

    def _task_states(self, row: RunRow, task: TaskDefinition | None) -> list[str]:
        """Return the states of a task's runs, each once.

        A task run gets its row when it leaves ``pending``, so of a run that goes on the rows
        tell all only where nothing is mapped.
        """
        if task is None:
            return [PENDING]
        states = [
            state
            for state in TaskRunState
            if self._store.task_runs(row.id, task_id=task.id, states=[state], limit=1)[0]
        ]
        is_mapped = task.expansion is not None or bool(task.group)
        is_complete = row.state.is_terminal or (bool(states) and not is_mapped)
        labels = [state.label for state in states if state is not TaskRunState.REMOVED]
        return labels if is_complete else [*labels, PENDING]

    def _check(self, own: RunRow, flow: str, task_ids: Sequence[str], group: str) -> None:
        """Refuse what neither the project as this run knows it nor any run of it has.

        Raises:
            UnknownFlow: There is no such flow.
            UnknownTask: It has no such task or group.
        """
        after = msgspec.structs.replace(own, flow=flow, logical_date_us=2**62)
        rows = self._store.runs_before(after, limit=1)
        pinned = msgspec.structs.replace(rows[0] if rows else own, flow=flow)
        definition = self._flow(pinned)
        if definition is None:
            raise UnknownFlow(f"there is no flow {flow!r}, and there was no run of it")
        known = {task.id for task in definition.tasks}
        missing = [task_id for task_id in task_ids if task_id not in known]
        if missing:
            raise UnknownTask(f"flow {flow!r} has no task {missing[0]!r}")
        if group and group not in {each.id for each in definition.groups}:
            raise UnknownTask(f"flow {flow!r} has no group {group!r}")

    def _flow(self, row: RunRow) -> FlowDefinition | None:
        """Return the flow that a run is pinned to, None if it is no longer kept."""
        key = (row.manifest_version, row.flow)
        if key not in self._flows:
            data = self._store.load_manifest(row.manifest_version)
            self._flows[key] = decode_manifest(data).flow(row.flow) if data is not None else None
        return self._flows[key]


def _nothing() -> None:
    """Hasten nothing: a run ends when it ends."""


def _is_within(task: TaskDefinition, group: str, flow: FlowDefinition) -> bool:
    parents = {each.id: each.parent for each in flow.groups}
    around = task.group
    while around and around != group:
        around = parents.get(around, "")
    return around == group
