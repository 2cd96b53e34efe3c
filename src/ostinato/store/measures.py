"""This module counts what a process writes to its store: runs, task runs, commits, delays."""

import threading
from collections import Counter
from collections.abc import Iterable, Sequence

from ostinato.errors import StoreError
from ostinato.model.measure import COUNTS, Histogram, Labels, Measure, counter, histogram
from ostinato.model.state import RunState, TaskRunState
from ostinato.store.records import Batch, RunRow

#: ``trigger`` of runs that schedules make.
_SCHEDULE = "schedule"

#: Runs whose flow and moment of creation are remembered; beyond them the oldest are forgotten.
_KNOWN_RUNS = 100_000


class StoreMeasures:
    """Implements ``StoreObserver`` and ``Measured``."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        #: Flow, and when it was created if it has not begun, of runs that this process drives.
        self._runs: dict[int, tuple[str, int]] = {}
        self._created: dict[Labels, float] = {}
        self._ended: dict[Labels, float] = {}
        self._tasks_ended: dict[Labels, float] = {}
        self._errors: dict[Labels, float] = {}
        self._queue_delay = Histogram()
        self._schedule_delay = Histogram()
        self._commit_seconds = Histogram()
        self._commit_rows = Histogram(COUNTS)

    # What it is told

    def created(self, rows: Sequence[RunRow]) -> None:
        """Count runs that were created; one that was found by its key counts once more."""
        with self._lock:
            for row in rows:
                _count(self._created, (("flow", row.flow), ("trigger", row.trigger)))
                if row.owner:
                    self._remember(row)
                if row.trigger == _SCHEDULE:
                    due_us = row.interval_end_us or row.logical_date_us
                    self._schedule_delay.add(max(row.created_us - due_us, 0) / 1e6)

    def claimed(self, rows: Sequence[RunRow]) -> None:
        """Remember runs that this process has taken over."""
        with self._lock:
            for row in rows:
                self._remember(row)

    def committed(self, batch: Batch, took_s: float) -> None:
        """Count what a batch has changed."""
        with self._lock:
            size = len(batch.events) + len(batch.task_runs) + len(batch.runs) + len(batch.values)
            self._commit_rows.add(size)
            self._commit_seconds.add(took_s)
            # By plain numbers: this is the path of every task run.
            ended = Counter(
                [(row.run_id, row.state) for row in batch.task_runs if row.state >= _TASK_ENDED]
            )
            for (run_id, task_state), number in ended.items():
                flow = self._runs.get(run_id, _UNKNOWN)[0]
                labels = (("flow", flow), ("state", _TASK_LABELS[task_state]))
                self._tasks_ended[labels] = self._tasks_ended.get(labels, 0) + number
            for update in batch.runs:
                flow, created_us = self._runs.get(update.run_id, _UNKNOWN)
                if created_us and update.started_us:
                    self._queue_delay.add(max(update.started_us - created_us, 0) / 1e6)
                    self._runs[update.run_id] = (flow, 0)
                if update.state >= _RUN_ENDED:
                    state = RunState(update.state).label
                    _count(self._ended, (("flow", flow), ("state", state)))
                    self._runs.pop(update.run_id, None)

    def failed(self, error: StoreError) -> None:
        """Count a write that failed."""
        with self._lock:
            _count(self._errors, (("code", error.code),))

    # What it says

    def measures(self) -> Iterable[Measure]:
        """Return the numbers since this process has begun."""
        with self._lock:
            return [
                counter("runs_created", "Runs that this process asked for.", self._created),
                counter("runs_ended", "Runs that ended here.", self._ended),
                counter("task_runs_ended", "Task runs that ended here.", self._tasks_ended),
                counter("store_errors", "Writes that the store refused.", self._errors),
                histogram(
                    "queue_delay_seconds",
                    "From the creation of a run to its begin.",
                    {(): self._queue_delay},
                ),
                histogram(
                    "schedule_delay_seconds",
                    "From the moment of a schedule to the creation of its run.",
                    {(): self._schedule_delay},
                ),
                histogram("commit_seconds", "How long commits took.", {(): self._commit_seconds}),
                histogram("commit_rows", "Rows that a commit wrote.", {(): self._commit_rows}),
            ]

    def _remember(self, row: RunRow) -> None:
        while len(self._runs) >= _KNOWN_RUNS:
            del self._runs[next(iter(self._runs))]
        self._runs[row.id] = (row.flow, 0 if row.started_us else row.created_us)


_UNKNOWN = ("", 0)
_TASK_ENDED, _RUN_ENDED = int(TaskRunState.SUCCEEDED), int(RunState.SUCCEEDED)
_TASK_LABELS = {int(state): state.label for state in TaskRunState}


def _count(counts: dict[Labels, float], labels: Labels) -> None:
    counts[labels] = counts.get(labels, 0) + 1
