"""This module is a run that a coordinator owns, with all that it needs at hand."""

import msgspec

from ostinato.coordinator.limits import Executors
from ostinato.coordinator.values import RunValues
from ostinato.engine.commands import ArchiveAttempt
from ostinato.engine.machine import RunMachine
from ostinato.engine.plan import Plan
from ostinato.engine.priority import priority_weights
from ostinato.engine.queueing import Lane
from ostinato.engine.task_run import TaskRun
from ostinato.model.deferral import encode_wait
from ostinato.model.failure import Failure
from ostinato.model.flow import Input
from ostinato.model.identity import MapPath, format_path
from ostinato.model.policy import Isolation, Policy
from ostinato.model.value import StoredValue
from ostinato.runtime.messages import AttemptSpec, InputValue, MappedValues, RunInfo, SingleValue
from ostinato.store.protocol import Store
from ostinato.store.records import AttemptRow, RunRow, RunUpdate, TaskRunRow, ValueRow

#: Values of a mapped result that travel with the attempt; its reader fetches the others.
FIRST_VALUES = 32

_json = msgspec.json.Encoder()
_failure_encoder = msgspec.msgpack.Encoder()


class LiveRun:
    """A run in memory: its machine, its values, its lanes.

    Args:
        row: The run as it is stored.
        plan: Its compiled flow.
        machine: Its state.
        info: What all its attempts share.
        store: Where its values lie.
        lanes: Of its tasks, by position.
        outside: Values of tasks that a partial run leaves out, by (task id, key).
    """

    def __init__(
        self,
        row: RunRow,
        *,
        plan: Plan,
        machine: RunMachine,
        info: RunInfo,
        store: Store,
        lanes: list[Lane],
        outside: dict[tuple[str, str], InputValue],
    ) -> None:
        self.id = row.id
        self.row = row
        self.plan = plan
        self.machine = machine
        self.info = info
        self.values = RunValues(store, row.id)
        self.outside = outside
        self.lanes = lanes
        self.priorities = priority_weights(plan)
        #: Task runs whose rows the next commit writes, in the order of their change.
        self.dirty: dict[int, TaskRun] = {}
        #: What the last attempt of a task run left: error, rendered arguments, reason.
        self.failures: dict[TaskRun, Failure] = {}
        self.inputs: dict[TaskRun, str] = {}
        #: What people call indices of mapped tasks.
        self.names: dict[TaskRun, str] = {}
        self.reasons: dict[TaskRun, str] = {}
        self.is_row_dirty = False
        #: Where its attempts execute; None for where those of all runs do.
        self.places: Executors | None = None
        self._mapped: dict[tuple[str, MapPath], list[MapPath]] = {}

    # Rows

    def update(self) -> RunUpdate:
        """Return what is to be written of the run itself."""
        machine = self.machine
        return RunUpdate(
            machine.state,
            machine.reason,
            machine.started_us,
            machine.ended_us,
            machine.generation,
            self.id,
            self.row.name,
        )

    def task_run_row(self, task_run: TaskRun) -> TaskRunRow:
        """Return a task run as it is to be written."""
        chosen = task_run.chosen
        failure = self.failures.get(task_run)
        return TaskRunRow(
            self.id,
            task_run.task_id,
            format_path(task_run.path) if task_run.path else "",
            task_run.state,
            task_run.attempt,
            task_run.generation,
            task_run.failures,
            task_run.losses,
            task_run.queued_us,
            task_run.first_started_us,
            task_run.started_us,
            task_run.ended_us,
            task_run.due_us,
            task_run.length,
            None if chosen is None else _json.encode(chosen).decode(),
            task_run.stop,
            None if failure is None else _failure_encoder.encode(failure),
            self.inputs.get(task_run),
            self.reasons.get(task_run, ""),
            encode_wait(task_run.deferral, task_run.resumption)
            if task_run.deferral is not None or task_run.resumption is not None
            else None,
            None,
            self.names.get(task_run, "") if self.names else "",
        )

    def value_row(self, task_run: TaskRun, value: StoredValue) -> ValueRow:
        """Return a value of a task run as it is to be written."""
        path = format_path(task_run.path)
        attempt = (task_run.generation, task_run.attempt)
        return ValueRow(self.id, task_run.task_id, path, *attempt, value)

    def attempt_row(self, kept: ArchiveAttempt) -> AttemptRow:
        """Return an attempt that is followed by another, as it is to be kept."""
        task_run = kept.task_run
        failure = self.failures.get(task_run)
        return AttemptRow(
            self.id,
            task_run.task_id,
            format_path(task_run.path),
            kept.generation,
            kept.attempt,
            kept.state,
            kept.started_us,
            kept.ended_us,
            None if failure is None else _failure_encoder.encode(failure),
        )

    def forget_outcome(self, task_run: TaskRun) -> None:
        """Drop what an earlier attempt left, before the next one."""
        if self.failures or self.inputs or self.reasons:
            self.failures.pop(task_run, None)
            self.inputs.pop(task_run, None)
            self.reasons.pop(task_run, None)

    def forget_mapped(self) -> None:
        """Drop what is remembered of mapped results, after a clear."""
        self._mapped.clear()

    # Attempts

    def policy(self, task_run: TaskRun) -> Policy:
        """Return how a task run is run."""
        return self.plan.flow.tasks[task_run.position].policy

    def spec(self, task_run: TaskRun, token: int) -> AttemptSpec:
        """Return the attempt that was just started, as its executor needs it."""
        task = self.plan.flow.tasks[task_run.position]
        policy = task.policy
        path = task_run.path
        return AttemptSpec(
            token,
            self.id,
            task_run.task_id,
            path,
            task_run.attempt,
            task_run.failures + 1,
            task_run.generation,
            self.machine.lengths_along(task_run) if path else (),
            {_name(value): self._input(value, task_run) for value in task.inputs}
            if task.inputs
            else _NOTHING,
            policy.timeout_s,
            policy.compute.memory_bytes,
            policy.isolation is Isolation.FORK,
            task_run.first_started_us,
            task_run.resumption,
        )

    def _input(self, wanted: Input, task_run: TaskRun) -> InputValue:
        position = self.plan.positions.get(wanted.task_id)
        if position is None:
            return self.outside[wanted.task_id, wanted.key]
        producer = self.plan.nodes[position]
        depth = self.plan.shared_depth(position, task_run.position)
        prefix = task_run.path[:depth]
        if producer.expansion is None and len(producer.scope) == depth:
            return SingleValue(self.values.get(wanted.task_id, prefix, wanted.key))
        paths = self.mapped_paths(wanted.task_id, prefix)
        first = self.mapped_values(wanted.task_id, prefix, wanted.key, 0, FIRST_VALUES)
        return MappedValues(wanted.task_id, prefix, len(paths), tuple(first))

    def mapped_paths(self, task_id: str, prefix: MapPath) -> list[MapPath]:
        """Return the paths below a prefix at which a mapped task succeeded, in order."""
        key = (task_id, prefix)
        paths = self._mapped.get(key)
        if paths is None:
            paths = self.machine.successful_paths(task_id, prefix)
            if self.machine.is_settled(task_id, prefix):
                self._mapped[key] = paths
        return paths

    def mapped_values(
        self, task_id: str, prefix: MapPath, key: str, offset: int, limit: int
    ) -> list[StoredValue | None]:
        """Return a page of a mapped task's values; None stands for the result None."""
        paths = self.mapped_paths(task_id, prefix)[offset : offset + limit]
        return [self.values.get(task_id, path, key) for path in paths]


def _name(value: Input) -> str:
    return value.task_id if value.key == "return_value" else f"{value.task_id}/{value.key}"


_NOTHING: dict[str, InputValue] = {}
