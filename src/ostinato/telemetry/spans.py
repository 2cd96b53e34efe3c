"""This module finds the spans in what a process commits: runs, task runs, attempts."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec
from msgspec import Struct

from ostinato.engine import events as ev
from ostinato.model.failure import Failure
from ostinato.model.identity import RunId
from ostinato.model.state import RunState, TaskRunState
from ostinato.model.step import BODY
from ostinato.model.trace import attempt_span_id, run_span_id, task_run_span_id, trace_id
from ostinato.store.records import EventRow, RunRow, RunUpdate, TaskRunRow

#: Runs that are remembered; beyond them the oldest are forgotten.
_KNOWN_RUNS = 100_000

_decode_failure = msgspec.msgpack.Decoder(Failure).decode
_ENDED = (
    ev.AttemptSucceeded,
    ev.AttemptSkipped,
    ev.AttemptFailed,
    ev.AttemptLost,
    ev.AttemptDeferred,
)


class Changes(NamedTuple):
    """What a batch holds that spans are made of."""

    events: Sequence[EventRow]
    task_runs: Sequence[TaskRunRow]
    runs: Sequence[RunUpdate]


class Span(Struct, frozen=True):
    """Something that was executed.

    Attributes:
        name: For people, low in number.
        trace_id, span_id: Name it.
        parent_id: Of the span that it is part of; 0 for none.
        started_us, ended_us: Around it.
        attributes: What else is known.
        error: What went wrong; empty if nothing did.
        log_of: Whose log belongs to it: run, task, path, generation, attempt. None for nobody's.
    """

    name: str
    trace_id: int
    span_id: int
    parent_id: int
    started_us: int
    ended_us: int
    attributes: dict[str, str | int]
    error: str = ""
    log_of: tuple[RunId, str, str, int, int] | None = None


class SpanFinder:
    """Find spans; it remembers the runs that this process drives.

    Args:
        project: Name of the project.
    """

    def __init__(self, project: str) -> None:
        self._project = project
        self._runs: dict[int, RunRow] = {}
        self._generations: dict[int, int] = {}
        #: How often the bodies of runs of functions were cleared: their steps are part of them.
        self._bodies: dict[int, int] = {}

    def note_runs(self, rows: Sequence[RunRow]) -> None:
        """Remember runs that this process takes over, or has asked for."""
        for row in rows:
            while len(self._runs) >= _KNOWN_RUNS:
                self._forget(next(iter(self._runs)))
            self._runs[row.id] = row
            self._generations[row.id] = row.generation

    def find(self, changes: Changes) -> Iterator[Span]:
        """Yield what has ended with a batch: attempts, then task runs, then runs."""
        rows = {(row.run_id, row.task_id, row.path): row for row in changes.task_runs}
        for update in changes.runs:
            self._generations[update.run_id] = update.generation
        for row in changes.task_runs:
            if row.task_id == BODY:
                self._bodies[row.run_id] = row.generation
        for logged in changes.events:
            if isinstance(logged.event, _ENDED):
                found = rows.get((logged.run_id, logged.task_id, logged.path))
                if found is not None:
                    yield self._attempt(logged, found)
        for row in changes.task_runs:
            if row.state >= TaskRunState.SUCCEEDED and row.first_started_us:
                yield self._task_run(row)
        for update in changes.runs:
            if update.state >= RunState.SUCCEEDED:
                yield self._run(update)
                self._forget(update.run_id)

    def _attempt(self, logged: EventRow, row: TaskRunRow) -> Span:
        event = logged.event
        started_us = getattr(event, "started_us", 0) or row.started_us or logged.at_us
        attempt: int = getattr(event, "attempt", row.attempt)
        name = (row.run_id, row.task_id, row.path, row.generation)
        outcome = str(type(event).__struct_config__.tag).removeprefix("attempt_")
        error = event.failure.summary if isinstance(event, ev.AttemptFailed) else ""
        if isinstance(event, ev.AttemptLost):
            error = event.reason or "its process is gone"
        return Span(
            name=f"attempt {row.task_id}",
            trace_id=trace_id(self._project, row.run_id),
            span_id=attempt_span_id(*name, attempt),
            parent_id=task_run_span_id(*name),
            started_us=started_us,
            ended_us=max(getattr(event, "ended_us", 0) or logged.at_us, started_us),
            attributes={**self._of_task(row), "ostinato.attempt": attempt, "ostinato.end": outcome},
            error=error,
            log_of=(RunId(row.run_id), row.task_id, row.path, row.generation, attempt),
        )

    def _task_run(self, row: TaskRunRow) -> Span:
        state = TaskRunState(row.state)
        error = ""
        if state is TaskRunState.FAILED:
            failed = None if row.failure is None else _decode_failure(row.failure)
            error = row.reason if failed is None else failed.summary
        attributes = {**self._of_task(row), "ostinato.state": state.label}
        if row.queued_us:
            attributes["ostinato.queued_us"] = row.queued_us
        return Span(
            name=f"task {row.task_id}",
            trace_id=trace_id(self._project, row.run_id),
            span_id=task_run_span_id(row.run_id, row.task_id, row.path, row.generation),
            parent_id=self._parent_of(row),
            started_us=row.first_started_us,
            ended_us=max(row.ended_us, row.first_started_us),
            attributes=attributes,
            error=error,
        )

    def _parent_of(self, row: TaskRunRow) -> int:
        if row.step is not None and row.task_id != BODY:
            return task_run_span_id(row.run_id, BODY, "", self._bodies.get(row.run_id, 0))
        return run_span_id(row.run_id, self._generations.get(row.run_id, 0))

    def _run(self, update: RunUpdate) -> Span:
        state = RunState(update.state)
        started_us = update.started_us or update.ended_us
        flow = self._flow(update.run_id)
        return Span(
            name=f"run {flow}".rstrip(),
            trace_id=trace_id(self._project, update.run_id),
            span_id=run_span_id(update.run_id, update.generation),
            parent_id=0,
            started_us=started_us,
            ended_us=max(update.ended_us, started_us),
            attributes={**self._of_run(update.run_id), "ostinato.state": state.label},
            error=update.reason or state.label if state is RunState.FAILED else "",
        )

    def _of_run(self, run_id: int) -> dict[str, str | int]:
        found: dict[str, str | int] = {
            "ostinato.project": self._project,
            "ostinato.run_id": str(run_id),
        }
        row = self._runs.get(run_id)
        if row is not None:
            found |= {
                "ostinato.flow": row.flow,
                "ostinato.run": f"{row.flow}#{row.number}",
                "ostinato.trigger": row.trigger,
            }
        return found

    def _of_task(self, row: TaskRunRow) -> dict[str, str | int]:
        found = {**self._of_run(row.run_id), "ostinato.task_id": row.task_id}
        if row.path:
            found["ostinato.map_path"] = row.path
        return found

    def _flow(self, run_id: int) -> str:
        row = self._runs.get(run_id)
        return "" if row is None else row.flow

    def _forget(self, run_id: int) -> None:
        self._runs.pop(run_id, None)
        self._generations.pop(run_id, None)
        self._bodies.pop(run_id, None)
