"""This module finds out for task runs that depend on it how earlier runs of their flow went."""

from collections.abc import Collection, Container, Iterator, Sequence
from typing import NamedTuple

from ostinato.coordinator.live_run import LiveRun
from ostinato.engine.task_run import TaskRun
from ostinato.errors import UsageError
from ostinato.model.flow import FlowDefinition
from ostinato.model.manifest import decode_manifest
from ostinato.model.state import RunState, TaskRunState
from ostinato.store.protocol import Store
from ostinato.store.records import RunRow

#: Earlier runs that are looked at for one that has the task: partial ones may lack it.
SEARCHED_RUNS = 50

_GOOD = frozenset({TaskRunState.SUCCEEDED, TaskRunState.SKIPPED, TaskRunState.REMOVED})


class Settled(NamedTuple):
    """What the past means for a task run that asked for it.

    Attributes:
        is_good: Whether it may run.
        reason: Why not.
    """

    is_good: bool
    reason: str = ""


class _Pending(NamedTuple):
    """Something earlier is not over yet.

    Attributes:
        run_id: Whose run it is.
        text: What is waited for.
    """

    run_id: int
    text: str


class Past:
    """The task runs of a coordinator that wait for earlier runs.

    What it reads of runs of this coordinator is their state in memory: it is committed
    together with what follows from it, before anything is dispatched.

    Args:
        store: Where earlier runs are.
        live: Runs of this coordinator by id.
        held: Those of them that begin when others have ended; nothing waits for them, for it
            may be one of those others.
    """

    def __init__(self, store: Store, live: dict[int, LiveRun], held: Container[int]) -> None:
        self._store = store
        self._live = live
        self._held = held
        self._waiting: dict[TaskRun, tuple[LiveRun, int]] = {}
        self._changed: set[int] = set()
        self._looks_at_all = False
        self._flows: dict[tuple[str, str], FlowDefinition | None] = {}

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def begin(self, run: LiveRun, task_run: TaskRun) -> None:
        """Take in a task run that asks for its past."""
        self._waiting[task_run] = (run, 0)
        self._changed.add(0)

    def note_change(self, run_id: int) -> None:
        """Look again at what waits for a run of this coordinator."""
        self._changed.add(run_id)

    def look_again(self) -> None:
        """Look again at all that waits: other processes drive runs too."""
        self._looks_at_all = bool(self._waiting)

    def has_work(self) -> bool:
        """Whether ``poll`` could find something out at once."""
        return bool(self._waiting) and (
            self._looks_at_all or any(other in self._changed for _, other in self._waiting.values())
        )

    def poll(self) -> Iterator[tuple[LiveRun, TaskRun, Settled | str]]:
        """Yield the task runs whose past is known, and what others wait for, where that is new."""
        changed, self._changed = self._changed, set()
        looks_at_all, self._looks_at_all = self._looks_at_all, False
        for task_run, (run, other) in list(self._waiting.items()):
            if not task_run.awaits_past:
                # Its run was cancelled meanwhile.
                del self._waiting[task_run]
            elif looks_at_all or other in changed:
                found = self._look(run, task_run)
                if isinstance(found, Settled):
                    del self._waiting[task_run]
                    yield run, task_run, found
                else:
                    self._waiting[task_run] = (run, found.run_id)
                    if run.reasons.get(task_run) != found.text:
                        yield run, task_run, found.text

    def refuse_to_wait_for_ever(self) -> None:
        """Look again where nothing goes on any more, and say what is waited for in vain.

        Raises:
            UsageError: Nothing that is waited for is over.
        """
        if any(
            isinstance(self._look(run, one), Settled) for one, (run, _) in self._waiting.items()
        ):
            self._looks_at_all = True
            return
        task_run, (run, _) = next(iter(self._waiting.items()))
        reason = run.reasons.get(task_run, "waits for an earlier run")
        raise UsageError(f"task {str(task_run.key)!r} {reason}, which nobody goes on with")

    def _look(self, run: LiveRun, task_run: TaskRun) -> Settled | _Pending:
        wanted = self._wanted(run, task_run)
        for row in self._store.runs_before(run.row, limit=SEARCHED_RUNS):
            if row.id in self._held:
                continue
            flow = self._flow(row)
            if flow is None or any(task.id == task_run.task_id for task in flow.tasks):
                return self._judge(row, wanted)
        return Settled(is_good=True)

    def _wanted(self, run: LiveRun, task_run: TaskRun) -> list[str]:
        """Return the tasks whose earlier end counts."""
        plan = run.plan
        wanted = [task_run.task_id]
        if run.policy(task_run).wait_for_downstream:
            wanted += [plan.nodes[p].id for p in plan.direct_downstream(task_run.position)]
        return wanted

    def _judge(self, row: RunRow, wanted: Sequence[str]) -> Settled | _Pending:
        name = f"{row.flow}#{row.number}"
        live = self._live.get(row.id)
        for task_id in wanted:
            states = (
                _states_in_memory(live, task_id)
                if live is not None
                else self._stored_states(row, task_id)
            )
            if states is None:
                return _Pending(row.id, f"waits for {task_id!r} of {name}")
            bad = [state for state in states if state not in _GOOD]
            if not bad:
                continue
            if (live.machine.state if live is not None else row.state).is_terminal:
                reason = f"{task_id!r} of {name}, the run before, {_how(bad)}"
                return Settled(is_good=False, reason=reason)
            return _Pending(row.id, f"waits for {name}, in which {task_id!r} {_how(bad)}")
        return Settled(is_good=True)

    def _stored_states(self, row: RunRow, task_id: str) -> Collection[TaskRunState] | None:
        """Return the ends of a task in a run that is not driven here, None while it has not ended.

        A task run gets its row when it leaves ``pending``, so of a live run one row tells all
        only where nothing is mapped.
        """
        rows, _ = self._store.task_runs(row.id, task_id=task_id)
        is_single = len(rows) == 1 and not rows[0].path and TaskRunState(rows[0].state).is_terminal
        if not row.state.is_terminal and not (is_single and not self._is_mapped(row, task_id)):
            return None
        # Of very many task runs, a bad one is looked for by its state.
        return {
            state
            for state in TaskRunState
            if self._store.task_runs(row.id, task_id=task_id, states=[state], limit=1)[0]
        }

    def _is_mapped(self, row: RunRow, task_id: str) -> bool:
        flow = self._flow(row)
        found = [task for task in flow.tasks if task.id == task_id] if flow is not None else []
        return not found or found[0].expansion is not None or bool(found[0].group)

    def _flow(self, row: RunRow) -> FlowDefinition | None:
        """Return the flow that a run is pinned to, None if it is no longer kept."""
        live = self._live.get(row.id)
        if live is not None:
            return live.plan.flow
        key = (row.manifest_version, row.flow)
        if key not in self._flows:
            data = self._store.load_manifest(row.manifest_version)
            self._flows[key] = decode_manifest(data).flow(row.flow) if data is not None else None
        return self._flows[key]


def _states_in_memory(live: LiveRun, task_id: str) -> list[TaskRunState] | None:
    machine = live.machine
    if task_id not in live.plan.positions:
        return []
    is_begun = machine.state is not RunState.QUEUED
    if machine.state.is_terminal or (is_begun and machine.is_settled(task_id, ())):
        return [each.state for each in machine.task_runs() if each.task_id == task_id]
    return None


def _how(states: Sequence[TaskRunState]) -> str:
    worst = min(states)
    return {
        TaskRunState.FAILED: "failed",
        TaskRunState.UPSTREAM_FAILED: "could not run",
        TaskRunState.CANCELLED: "was cancelled",
    }.get(worst, worst.label)
