"""This module is a run as Python code sees it after it ended."""

import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import msgspec

from ostinato.authoring.run_waits import wait_for_end
from ostinato.clock import SystemClock
from ostinato.errors import RunFailed, RunNotFound, UnknownTask
from ostinato.model.failure import Failure
from ostinato.model.identity import MapPath, RunId, parse_path
from ostinato.model.state import RunState, TaskRunState
from ostinato.model.step import BODY
from ostinato.model.value import RETURN_VALUE, StoredValue
from ostinato.store.protocol import Store
from ostinato.store.records import RunRow, TaskRunRow

#: Seconds after which who waits for a run that nobody executes is told so.
UNSERVED_S = 2.0

Decode = Callable[[StoredValue], Any]


class TaskRunView(msgspec.Struct, frozen=True):
    """A task run as it ended.

    Attributes:
        task_id: Of its task.
        map_path: Its indices; empty where nothing is mapped.
        state: Name of its state, such as ``"succeeded"``.
        attempt: How many attempts were started.
        started_at, ended_at: Around the last attempt; None if there was none.
        failure: What went wrong in the last attempt, or None.
        reason: Why it ended without an attempt, or was skipped.
        map_name: What people call its index, by the task's template; or empty.
    """

    task_id: str
    map_path: MapPath
    state: str
    attempt: int
    started_at: datetime | None
    ended_at: datetime | None
    failure: Failure | None
    reason: str
    map_name: str = ""

    @property
    def map_index(self) -> int:
        """Its last index, -1 where nothing is mapped."""
        return self.map_path[-1] if self.map_path else -1

    @property
    def duration(self) -> timedelta | None:
        """How long the last attempt took."""
        if self.started_at is None or self.ended_at is None:
            return None
        return self.ended_at - self.started_at


class Run:
    """A run that was started from Python.

    Args:
        store: Where it is recorded.
        run_id: Its id.
        decode: Reads a stored value.
    """

    def __init__(self, store: Store, run_id: RunId, decode: Decode) -> None:
        self._store = store
        self._run_id = run_id
        self._decode = decode

    @property
    def id(self) -> str:
        """Its id as text."""
        return str(self._run_id)

    @property
    def name(self) -> str:
        """Flow and number, such as ``etl#17``."""
        row = self._row
        return f"{row.flow}#{row.number}"

    @property
    def run_name(self) -> str:
        """What people call it, by the template of its flow; or ""."""
        return self._row.name

    @property
    def state(self) -> str:
        """Name of its state, such as ``"succeeded"``."""
        return self._row.state.label

    @property
    def reason(self) -> str:
        """Why it did not succeed, or ""."""
        return self._row.reason

    @property
    def started_at(self) -> datetime | None:
        """When it started."""
        return _moment(self._row.started_us)

    @property
    def ended_at(self) -> datetime | None:
        """When it ended."""
        return _moment(self._row.ended_us)

    @property
    def params(self) -> dict[str, Any]:
        """Its parameters."""
        params: dict[str, Any] = msgspec.json.decode(self._row.params)
        return params

    @property
    def task_runs(self) -> list[TaskRunView]:
        """Its task runs, in the order of task id and index."""
        return [_view(row) for row in self._store.all_task_runs(self._run_id)]

    def task_run(self, task_id: str, *, map_index: int | MapPath | None = None) -> TaskRunView:
        """Return one task run.

        Args:
            task_id: Of its task.
            map_index: Its index, or all its indices, where it is mapped.

        Raises:
            UnknownTask: The run has no such task run.
        """
        path = _path(map_index)
        for row in self._store.all_task_runs(self._run_id):
            if row.task_id == task_id and parse_path(row.path) == path:
                return _view(row)
        message = f"run {self.name} has no task run {task_id!r}" + (f" {path}" if path else "")
        raise UnknownTask(message)

    def wait(self, timeout: float | None = None) -> Self:
        """Return the run once it has ended.

        Args:
            timeout: Seconds to wait at most; by default as long as it takes.

        Raises:
            TimeoutError: It goes on.
        """
        now_s = SystemClock().monotonic_s
        say_at_s = now_s() + UNSERVED_S
        is_said = False

        def has_ended(_: float | None) -> bool:
            nonlocal is_said
            row = self._row
            is_unserved = row.state is RunState.QUEUED and not row.owner
            if is_unserved and not is_said and now_s() >= say_at_s:
                is_said = True
                how = f"serve it, or: ostinato resume '{self.name}'"
                sys.stderr.write(f"{self.name} waits for who serves {row.flow!r}; {how}\n")
            return row.state.is_terminal

        wait_for_end(self.name, has_ended, timeout, now_s)
        return self

    def result(self, task_id: str = BODY, *, map_index: int | MapPath | None = None) -> Any:
        """Return what a task returned; of a mapped task the list of all results, in order.

        Args:
            task_id: Of the task; by default what the function of the flow returned.
            map_index: Of one task run of a mapped task.

        Raises:
            UnknownTask: The run has no such task.
        """
        if map_index is not None:
            return self._result_at(task_id, _path(map_index))
        rows = [row for row in self._store.all_task_runs(self._run_id) if row.task_id == task_id]
        if not rows:
            raise UnknownTask(f"run {self.name} has no task run of {task_id!r}")
        succeeded = [row for row in rows if row.state == TaskRunState.SUCCEEDED]
        if len(rows) == 1 and not rows[0].path:
            return self._result_at(task_id, ())
        values = dict(self._store.values(self._run_id, task_id))
        return [self._decode(values[r.path]) if r.path in values else None for r in succeeded]

    def raise_for_state(self) -> Self:
        """Return the run if it succeeded.

        Raises:
            RunFailed: It ended otherwise; the message names the first failure.
        """
        row = self._row
        if row.state.label == "succeeded":
            return self
        failures = (view.failure for view in self.task_runs if view.failure is not None)
        first = next(failures, None)
        detail = f": {first.summary}" if first is not None else ""
        raise RunFailed(f"run {self.name} {row.state.label}: {row.reason}{detail}")

    def __repr__(self) -> str:
        return f"<Run {self.name} {self.state}>"

    @property
    def _row(self) -> RunRow:
        row = self._store.run(self._run_id)
        if row is None:
            raise RunNotFound(f"run {self._run_id} is no longer in the store")
        return row

    def _result_at(self, task_id: str, path: MapPath) -> Any:
        text = ".".join(map(str, path))
        values = self._store.values(self._run_id, task_id, path=text, key=RETURN_VALUE)
        return self._decode(values[0][1]) if values else None


def _path(map_index: int | MapPath | None) -> MapPath:
    if map_index is None:
        return ()
    return (map_index,) if isinstance(map_index, int) else tuple(map_index)


def _view(row: TaskRunRow) -> TaskRunView:
    return TaskRunView(
        row.task_id,
        parse_path(row.path),
        TaskRunState(row.state).label,
        row.attempt,
        _moment(row.started_us),
        _moment(row.ended_us) if row.started_us else None,
        None if row.failure is None else msgspec.msgpack.decode(row.failure, type=Failure),
        row.reason,
        row.map_name,
    )


def _moment(at_us: int) -> datetime | None:
    return datetime.fromtimestamp(at_us / 1e6, UTC) if at_us else None
